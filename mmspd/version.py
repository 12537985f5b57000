"""Version of mmspd."""

__version__ = '0.1.0'
