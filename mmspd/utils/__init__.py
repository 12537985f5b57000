"""Helpers for all parts of mmspd: the command line, files, processes, devices and tables."""
