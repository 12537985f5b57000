"""Parts of a training step without a runner: model, optimizer, batch and memory."""

from typing import Any, Dict, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import OptimWrapper, OptimWrapperDict, build_optim_wrapper
from mmengine.registry import init_default_scope
from torch import nn

from mmspd.models.layers.training_only import TrainingOnly
from mmspd.registry import TRANSFORMS, build_model, import_sibling

#: Dict from each variant of a training step to its changes of the config.
VARIANTS: Dict[str, Dict[str, Any]] = {
    'float32': {},
    'channels_last': {'model.channels_last': True},
    'half_teacher': {'model.teacher.dtype': 'bfloat16'},
    'bfloat16': {'optim_wrapper.type': 'mmspd.OptimWrapper', 'optim_wrapper.dtype': 'bfloat16'},
    'fused': {'optim_wrapper.optimizer.fused': True},
    'compile': {'model.compile': True},
}
VARIANTS['fast'] = {
    **VARIANTS['channels_last'],
    **VARIANTS['half_teacher'],
    **VARIANTS['bfloat16'],
}
VARIANTS['fast_compile'] = {**VARIANTS['fast'], **VARIANTS['compile']}


def use_variant(config: Config, name: str) -> None:
    """Apply one of the :data:`VARIANTS` to a config, in place.

    Keys of the teacher are skipped if the config has no teacher.

    Args:
        config: Config of a runner.
        name: Key of :data:`VARIANTS`.
    """
    changes = VARIANTS[name]
    if not config.model.get('teacher'):
        changes = {key: changes[key] for key in changes if not key.startswith('model.teacher.')}
    config.merge_from_dict(changes)


def randomize_weights(config: Config) -> None:
    """Give random weights to every network in a config's model, in place.

    Time and memory do not depend on the weights, and random weights need no download.

    Args:
        config: Config with a ``model``.
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
    """Build the model of a runner's config, with its teacher, and the optimizer wrapper.

    Args:
        config: Config with ``model`` and ``optim_wrapper``.
        device: Device of the model.

    Returns:
        The model in training mode and its optimizer wrapper. Random weights do not differ between
        calls.

    Raises:
        UserError: The components of the config do not fit together, or weights are not available.
    """
    init_default_scope(config.get('default_scope', 'mmagic'))
    torch.manual_seed(0)
    model = build_model(config.model).to(device)
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    model.init_weights()
    return model.train(), wrapper


def loader_batch(batch: int, crop: int) -> Dict[str, Any]:
    """Return a batch of noise in the form of a training DataLoader.

    Args:
        batch: Number of pairs.
        crop: Side of the images in pixels.

    Returns:
        A dict with the lists ``inputs`` and ``data_samples``. Each list has one uint8 image per
        pair, on the CPU.
    """
    import_sibling('mmagic')
    pack = TRANSFORMS.build(dict(type='mmagic.PackInputs'))
    images = np.random.default_rng(0).integers(0, 256, (batch, 2, crop, crop, 3), dtype=np.uint8)
    return pseudo_collate([pack(dict(img=blurry, gt=sharp)) for blurry, sharp in images])


def bytes_of(*tensors: torch.Tensor) -> int:
    """Return the bytes of tensors. Memory that tensors share is counted once.

    Args:
        tensors: Tensors.
    """
    return sum({t.data_ptr(): t.numel() * t.element_size() for t in tensors}.values())


def held_bytes(model: nn.Module, wrapper: OptimWrapper) -> int:
    """Return the bytes that training holds between two steps, including the teacher and VGG.

    Args:
        model: Model in training.
        wrapper: Optimizer wrapper of the model, or several ones.
    """
    device = next(model.parameters()).device
    holders = [
        value
        for module in model.modules()
        for value in vars(module).values()
        if isinstance(value, TrainingOnly)
    ]
    networks = [model, *(holder.get(device) for holder in holders)]
    held = [part for network in networks for part in (*network.parameters(), *network.buffers())]
    held += [part.grad for part in held if part.grad is not None]
    wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    for state in (state for each in wrappers for state in each.optimizer.state.values()):
        held += [value for value in state.values() if isinstance(value, torch.Tensor)]
    return bytes_of(*held)
