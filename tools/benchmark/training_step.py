"""A training step outside of a runner, for benchmarks: model, optimizer and a batch in memory."""

from typing import Any, Dict, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import init_default_scope
from torch import nn

from mmspd.registry import TRANSFORMS, build_model, import_sibling

__all__ = ['VARIANTS', 'build_training', 'forget_weights', 'loader_batch', 'use_variant']

#: Ways to train a config: what each changes in it.
VARIANTS: Dict[str, Dict[str, Any]] = {
    'float32': {},
    'channels_last': {'model.channels_last': True},
    'half_teacher': {'model.teacher.dtype': 'bfloat16'},
    'bfloat16': {'optim_wrapper.type': 'mmspd.OptimWrapper', 'optim_wrapper.dtype': 'bfloat16'},
    'fused': {'optim_wrapper.optimizer.fused': True},
    'compile': {'model.compile': True},
}
_QUICK = ('channels_last', 'half_teacher', 'bfloat16')
VARIANTS['fast'] = {key: value for name in _QUICK for key, value in VARIANTS[name].items()}
VARIANTS['fast_compile'] = {**VARIANTS['fast'], **VARIANTS['compile']}


def use_variant(config: Config, name: str) -> None:
    """Let a config train in one of the :data:`VARIANTS`, in place.

    What a variant says of the teacher is left out where the config has none.
    """
    teacher = config.model.get('teacher')
    config.merge_from_dict(
        {
            key: value
            for key, value in VARIANTS[name].items()
            if teacher or not key.startswith('model.teacher.')
        }
    )


def forget_weights(config: Config) -> None:
    """Let every network of a config's model start from random weights, in place.

    Time and memory do not depend on the weights, and nothing has to be downloaded for them.
    """
    parts = [config.model]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            part.pop('load_official', None)
            if 'weights' in part:
                part['weights'] = 'random'
            parts += part.values()
        elif isinstance(part, (list, tuple)):
            parts += part


def build_training(config: Config, device: torch.device) -> Tuple[nn.Module, OptimWrapper]:
    """Build what a runner trains: the model with its teacher, and the optimizer wrapper.

    Args:
        config: of a runner; ``model`` and ``optim_wrapper`` are read.
        device: where the model shall be.

    Returns:
        The model in training mode and its optimizer wrapper. What is random in the weights is the
        same at every call.

    Raises:
        UserError: the config's components do not fit together, or weights cannot be had.
    """
    init_default_scope(config.get('default_scope', 'mmagic'))
    torch.manual_seed(0)
    model = build_model(config.model).to(device)
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    model.init_weights()
    return model.train(), wrapper


def loader_batch(batch: int, crop: int) -> Dict[str, Any]:
    """Return a batch of noise, of the form in which a training DataLoader hands it over.

    Args:
        batch: pairs.
        crop: their side in pixels.

    Returns:
        ``inputs`` and ``data_samples``, lists of one uint8 image each per pair, on the CPU.
    """
    import_sibling('mmagic')
    pack = TRANSFORMS.build(dict(type='mmagic.PackInputs'))
    images = np.random.default_rng(0).integers(0, 256, (batch, 2, crop, crop, 3), dtype=np.uint8)
    return pseudo_collate([pack(dict(img=blurry, gt=sharp)) for blurry, sharp in images])
