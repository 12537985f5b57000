"""Installation of mmspd; pyproject.toml has all metadata."""

from setuptools import setup

setup()
