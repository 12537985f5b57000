"""Find the names that are similar to an unknown name, for messages."""

import difflib
from typing import Iterable

__all__ = ['similar_names']


def similar_names(name: str, known: Iterable[str]) -> str:
    """Return a phrase with the most similar names.

    Args:
        name: The unknown name.
        known: The names that exist.

    Returns:
        The phrase, or an empty string if no name is similar.

    Examples:
        >>> from mmspd.utils.names import similar_names
        >>> similar_names('mimounet_gorpo', ['mimounet_gopro', 'unet_gopro', 'mprnet_gopro'])
        ' (similar names: mimounet_gopro, unet_gopro, mprnet_gopro)'
        >>> similar_names('x', ['mimounet_gopro'])
        ''
    """
    close = difflib.get_close_matches(name, sorted(known), n=3)
    return f' (similar names: {", ".join(close)})' if close else ''
