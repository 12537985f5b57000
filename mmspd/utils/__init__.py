"""Helpers for all parts of mmspd: the command line, files, processes, devices and tables."""

from mmspd.utils.setup_env import register_all_modules

__all__ = ['register_all_modules']
