"""Find weights that are given by path, address or name."""

import os
import re
from pathlib import Path
from typing import Optional, Union

from mmspd.utils.launch import check_file
from mmspd.utils.shared_config import SHARED_CONFIG
from mmspd.weights.by_name import find_named, is_name, obtain

__all__ = ['SHARED_WEIGHTS', 'find_source', 'resolve_name']

#: Name of the weights file in a folder of shared weights.
SHARED_WEIGHTS = 'model.safetensors'


def resolve_name(
    source: Union[str, Path], config: Optional[Union[str, Path]] = None, key: str = 'checkpoint'
) -> str:
    """Return the path of weights that are given by name.

    Args:
        source: The name of published weights, which are downloaded if the cache lacks them;
            ``'official'`` for the published weights of a recipe; or a folder that
            ``tools/weights.py`` pulled. Other paths and addresses are returned unchanged.
        config: Path or name of the config, for ``'official'``.
        key: The config key or argument with the source, for error messages.

    Returns:
        The path of a file or folder, or ``source``.

    Raises:
        UsageError: There are no weights of this name. The message suggests similar names.
        UserError: The published weights cannot be downloaded.
    """
    source = str(source)
    if os.path.isfile(Path(source, SHARED_CONFIG)):
        return str(Path(source, SHARED_WEIGHTS))
    is_path = os.path.lexists(source) or not re.fullmatch(r'[\w-]+', source)
    # a folder may have the name of a recipe by chance
    if is_path and (os.path.isfile(source) or not is_name(source)):
        return source
    recipe = Path(config).stem if config else None
    return str(obtain(find_named(source, recipe), key))


def find_source(source: Union[str, Path], config: Optional[Union[str, Path]] = None) -> str:
    """Find a checkpoint or weights that are given by path, address or name.

    Args:
        source: A file, an address, a folder with the parts of published weights, or a name, see
            :func:`resolve_name`.
        config: Path or name of the config, for ``'official'``.

    Returns:
        The path of a file or folder, or the address. An address is not checked.

    Raises:
        UsageError: There is no such file or name. The message suggests similar names.
        UserError: The published weights cannot be downloaded.
    """
    found = resolve_name(source, config)
    is_address = '://' in found
    return found if is_address or os.path.isdir(found) else check_file(found, 'checkpoint')
