"""Find the files that belong to mmspd but are no Python modules of it, such as the configs."""

from pathlib import Path

__all__ = ['package_file']

_PACKAGE = Path(__file__).resolve().parents[1]


def package_file(*parts: str) -> Path:
    """Return the path of a file of mmspd.

    An installed mmspd has these files in its folder ``.mim``, a checkout beside the package.

    Args:
        *parts: Parts of the path, such as ``'configs'`` and ``'spd'``.

    Returns:
        The path. The file need not exist.

    Examples:
        >>> from mmspd.utils.package_files import package_file
        >>> package_file('configs', 'spd', 'mimounet_gopro.py').is_file()
        True
    """
    shipped = _PACKAGE / '.mim'
    return (shipped if shipped.is_dir() else _PACKAGE.parent).joinpath(*parts)
