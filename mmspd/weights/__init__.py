"""Weights of other projects: safe reading, recognition, conversion and strict loading."""
