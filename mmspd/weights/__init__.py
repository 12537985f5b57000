"""Weights of other projects: read safely, recognized, converted and loaded strictly."""
