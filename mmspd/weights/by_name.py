"""Find published weights by name, in the cache or on the servers of the authors."""

from pathlib import Path
from typing import Dict, List, Optional
from urllib.parse import unquote, urlsplit

from mmspd.errors import UsageError, UserError
from mmspd.utils.files import sha256_of
from mmspd.utils.names import similar_names
from mmspd.weights.addresses import is_other_tf_part, parse_address
from mmspd.weights.catalog import CATALOG, Weights
from mmspd.weights.download import cache_folder, fetch
from mmspd.weights.first_use import check_recorded

__all__ = ['OFFICIAL', 'cached_path', 'find_named', 'is_name', 'obtain']

#: Stands for the weights that the authors of a recipe's restorer published.
OFFICIAL = 'official'


def is_name(text: str) -> bool:
    """Tell whether a text is the name of published weights, or ``'official'``."""
    return text == OFFICIAL or any(text == weights.name for weights in CATALOG)


def find_named(name: str, recipe: Optional[str] = None) -> Weights:
    """Return published weights.

    Args:
        name: Name of the weights, or ``'official'``.
        recipe: Name of the config, for ``'official'``.

    Returns:
        The entry of the catalog.

    Raises:
        UsageError: There are no such weights. The message suggests similar names.

    Examples:
        >>> from mmspd.weights.by_name import find_named
        >>> find_named('official', 'mimounetplus_gopro').data
        'GoPro'
    """
    known: Dict[str, Weights] = {weights.name: weights for weights in CATALOG}
    is_official = name == OFFICIAL
    wanted = (recipe or '') if is_official else name
    if wanted in known:
        return known[wanted]
    of = f'of {recipe}' if recipe else 'without a recipe'
    subject = f"'official' weights {of}" if is_official else f'weights named {name!r}'
    raise UsageError(
        f'There are no {subject}; give one of the names that mmspd weights list shows'
        f'{similar_names(wanted, known)}, or the path of a file.'
    )


def cached_path(weights: Weights) -> Optional[Path]:
    """Return the path of published weights in the cache.

    Args:
        weights: The weights.

    Returns:
        The file, or the folder of weights that are published as several files; ``None`` if the
        cache lacks it.
    """
    folder = _folder(weights)
    present = _files_in(folder)
    if not weights.files[0].url:
        return present[0] if len(present) == 1 else None
    paths = [folder / _name(str(file.url)) for file in weights.files]
    if not all(path in present for path in paths):
        return None
    return paths[0] if len(paths) == 1 else folder


def obtain(weights: Weights, key: str) -> Path:
    """Return the path of published weights, and download them if the cache lacks them.

    The content of each file is checked. If no SHA-256 is published, it is recorded at the first
    use, and compared later.

    Args:
        weights: The weights.
        key: The config key or argument with the name, for error messages.

    Returns:
        The file, or the folder of weights that are published as several files.

    Raises:
        UserError: The weights cannot be downloaded automatically or at all, or the content is not
            the published content.
    """
    folder = _folder(weights)
    if not weights.files[0].url:
        return _placed_by_hand(weights, folder, key)
    for file in weights.files:
        address = str(file.url) + (f'#sha256={file.sha256}' if file.sha256 else '')
        target = folder / _name(str(file.url))
        fetch(parse_address(address, key), key, f'put it into {folder}', target)
    return target if len(weights.files) == 1 else folder


def _folder(weights: Weights) -> Path:
    return cache_folder() / weights.name


def _name(url: str) -> str:
    return unquote(Path(urlsplit(url).path).name)


def _files_in(folder: Path) -> List[Path]:
    """Return the weights files in a folder: no hidden files, and of TensorFlow only the indices."""
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [
        path
        for path in paths
        if path.is_file() and not path.name.startswith('.') and not is_other_tf_part(path.name)
    ]


def _placed_by_hand(weights: Weights, folder: Path, key: str) -> Path:
    """Return the only file in a folder after a check of its content."""
    present = _files_in(folder)
    if not present:
        copies = [w.name for w in CATALOG if w.recipe == weights.recipe and w.files[0].url]
        other = f', or give {copies[0]}, which can be downloaded automatically' if copies else ''
        raise UserError(
            f'{key}: the weights {weights.name} cannot be downloaded automatically; download them '
            f'from {weights.page} and put the file into {folder}{other}.'
        )
    if len(present) > 1:
        names = ', '.join(path.name for path in present)
        raise UserError(f'{key}: {folder} has several files ({names}); keep only the weights.')
    file = present[0]
    digest, published = sha256_of(file), weights.files[0].sha256
    if published is None:
        check_recorded(file, digest, key)
    elif digest != published:
        raise UserError(
            f'{key}: {file} has the SHA-256 {digest}, but the published file has {published}; '
            f'download it again from {weights.page}.'
        )
    return file
