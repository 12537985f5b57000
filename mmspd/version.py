"""The version of mmspd."""

__version__ = '0.2.0'
