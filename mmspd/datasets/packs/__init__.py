"""Packs: data sets decoded once, read by memory map."""
