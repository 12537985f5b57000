"""Helpers that the command-line tools share."""
