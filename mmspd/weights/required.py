"""Find all weights that a training run reads, before anything is built."""

import os
from typing import Any, Dict, Iterator, Tuple

from mmengine.config import Config

from mmspd.weights.download import cache_folder
from mmspd.weights.files import locate_weights
from mmspd.weights.loading import VGG19_URL, locate_backbone_weights

__all__ = ['locate_required_weights']


def locate_required_weights(config: Config) -> None:
    """Find the weights of the model and of ``load_from``; download those with an address.

    Args:
        config: The config of a training run.

    Raises:
        UserError: Weights are missing. The message names their key and the steps that get them.
    """
    model = config.get('model') or {}
    for key, part in _networks('model', model):
        backbone = part.get('backbone') or part.get('segmentor')
        weights = part['weights']
        if backbone:
            locate_backbone_weights(weights, backbone)
        elif weights == 'torchvision':
            cure = f'copy it to {cache_folder()}, or set {key} to its path'
            locate_weights(VGG19_URL, key, cure)
        else:
            locate_weights(weights, key)
    for key, source in (
        ('model.load_official', model.get('load_official')),
        ('load_from', config.get('load_from')),
    ):
        if source and not os.path.isdir(source):  # DMPHN is published as a folder
            locate_weights(os.path.expanduser(source), key)


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
