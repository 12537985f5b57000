"""Write and read the config of shared weights, which contains no code."""

import json
import re
from pathlib import Path
from typing import Any, Dict, Iterator, Union

from mmengine.config import Config

from mmspd.errors import UserError
from mmspd.utils.files import write_text
from mmspd.utils.json_text import parse_json

__all__ = ['SHARED_CONFIG', 'read_shared_config', 'write_shared_config']

#: Name of the file. Unlike other configs, it is checked before it is used.
SHARED_CONFIG = 'config.json'
_KEYS = {'default_scope', 'model'}
# A type is the name of a class. MMEngine would import and call other names, such as os.system.
_CLASS = re.compile(r'(?:(?:mmspd|mmagic|mmengine|mmpretrain|mmseg)\.)?[A-Z]\w*')


def write_shared_config(config: Config, path: Union[str, Path]) -> None:
    """Write the parts of a config that are needed to build its model for testing.

    Args:
        config: The config. The teacher and the prior loss are omitted, because they are not used in
            testing.
        path: File to write, with the name ``config.json``.

    Raises:
        UserError: The file cannot be written, or the model needs classes of other packages.
    """
    training = ('teacher', 'prior_loss', 'load_official')
    model = {key: value for key, value in config.model.to_dict().items() if key not in training}
    scope = config.get('default_scope', 'mmagic')
    content = dict(default_scope=scope, model=model)
    _check(content, str(path))
    write_text(path, json.dumps(content, indent=2) + '\n')


def read_shared_config(path: Union[str, Path]) -> Config:
    """Read the config of shared weights.

    Args:
        path: The file ``config.json``.

    Returns:
        The config.

    Raises:
        UserError: The file is not such a config, or it names anything other than classes of
            mmspd and of the OpenMMLab packages.
    """
    try:
        content = parse_json(Path(path).read_text('utf-8'))
    except (OSError, ValueError) as error:
        raise UserError(f'{path} is not a JSON file ({error}); pull it again.') from error
    if not isinstance(content, dict) or not content.keys() <= _KEYS or 'model' not in content:
        raise UserError(f'{path} is not the config of shared weights; use a folder of mmspd.')
    if not isinstance(content['model'], dict):
        raise UserError(f'{path}: model is {content["model"]!r:.60}, not an object; pull it again.')
    _check(content, str(path))
    return Config(content, filename=str(path))


def _check(content: Dict[str, Any], path: str) -> None:
    """Raise an error if a type in a config is not the name of a class of a known package."""
    for kind in _types_in(content):
        if not isinstance(kind, str) or not _CLASS.fullmatch(kind):
            raise UserError(
                f'{path} has the type {kind!r}, but shared weights may use only classes of mmspd '
                'and of the OpenMMLab packages; give the config as a Python file.'
            )


def _types_in(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from ([value['type']] if 'type' in value else [])
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from _types_in(part)
