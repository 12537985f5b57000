"""Parse JSON that another program may have written."""

import json
from typing import Any, Union

__all__ = ['parse_json']


def parse_json(text: Union[str, bytes]) -> Any:
    """Parse a JSON text.

    Args:
        text: The text.

    Returns:
        Its value.

    Raises:
        ValueError: The text is not JSON, or lists and objects are nested too deeply.

    Examples:
        >>> from mmspd.utils.json_text import parse_json
        >>> parse_json('{"PSNR": 30.25}')
        {'PSNR': 30.25}
        >>> parse_json('[' * 100000)
        Traceback (most recent call last):
        ValueError: The JSON text has too many levels.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError('The JSON text has too many levels.') from error
