"""Packs: decoded data sets that are read through a memory map."""
