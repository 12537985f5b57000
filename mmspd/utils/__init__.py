"""Helpers that belong to no layer: weight files, the command line, processes."""
