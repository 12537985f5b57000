"""Find all weights that a training run reads, before anything is built."""

import os
from typing import Any, Dict, Iterator, Tuple

from mmengine.config import Config

from mmspd.weights.download import cache_folder
from mmspd.weights.files import locate_weights
from mmspd.weights.loading import VGG19_URL, locate_backbone_weights, steps_to_get
from mmspd.weights.sources import resolve_name

__all__ = ['locate_required_weights']


def locate_required_weights(config: Config) -> None:
    """Find the weights of the model and of ``load_from``; download those with an address.

    Args:
        config: The config of a training run.

    Raises:
        UserError: Weights are missing. The message names their key and the steps that get them.
    """
    model = config.get('model') or {}
    if config.get('load_from'):
        locate_weights(os.path.expanduser(config.load_from), 'load_from')
    if model.get('load_official'):
        key = 'model.load_official'
        source = resolve_name(os.path.expanduser(model['load_official']), key=key)
        if not os.path.isdir(source):  # DMPHN is published as a folder
            locate_weights(source, key)
    # a missing file is noticed before the first download
    for key, part in sorted(_networks('model', model), key=lambda item: _is_remote(item[1])):
        backbone = part.get('backbone') or part.get('segmentor')
        weights = part['weights']
        if isinstance(backbone, dict):
            locate_backbone_weights(weights, backbone)
        elif weights == 'torchvision':
            cure = f'copy it to {cache_folder()}, or set {key} to its path'
            locate_weights(VGG19_URL, key, cure)
        else:
            locate_weights(weights, key, steps_to_get(weights))


def _is_remote(part: Dict[str, Any]) -> bool:
    return part['weights'] in ('torchvision', 'timm') or '://' in part['weights']


def _networks(key: str, value: Any) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Yield the key of the weights and the config of each network that loads weights."""
    if isinstance(value, dict):
        if isinstance(value.get('weights'), str) and value['weights'] != 'random':
            yield f'{key}.weights', value
        items = list(value.items())
    else:
        items = list(enumerate(value)) if isinstance(value, (list, tuple)) else []
    for name, part in items:
        yield from _networks(f'{key}.{name}', part)
