"""The folder in which mmspd keeps downloaded files."""

import os
from pathlib import Path

__all__ = ['home']


def home() -> Path:
    """Return the folder for downloaded files.

    The environment variable ``MMSPD_HOME`` names the folder. Its default is ``mmspd`` in
    ``XDG_CACHE_HOME``, or else ``~/.cache/mmspd``.

    Returns:
        The folder. It need not exist.
    """
    chosen = os.environ.get('MMSPD_HOME')
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache').expanduser() / 'mmspd'
