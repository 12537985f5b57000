"""Fused optimizers, which update all parameters with a few kernels of the device."""

import inspect

from mmengine.logging import print_log
from torch.optim import SGD, Adam, AdamW, Optimizer

__all__ = ['IMPLEMENTATION', 'fuse_on_cuda']

#: Arguments that choose between equal implementations of an optimizer.
IMPLEMENTATION = ('fused', 'foreach')
#: Optimizers with a fused implementation on CUDA. ``Adagrad`` has one on the CPU only.
_FUSED = (Adam, AdamW, SGD)


def fuse_on_cuda(optimizer: Optimizer) -> Optimizer:
    """Choose the fused implementation of an optimizer whose parameters are on CUDA.

    PyTorch's default on CUDA is ``foreach``, which needs more kernels. The results of both agree up
    to rounding.

    Args:
        optimizer: An optimizer that has made no step.

    Returns:
        An optimizer with the same arguments and ``fused=True``, or the given optimizer if its
        ``fused`` or ``foreach`` is set, its class has no fused implementation on CUDA, or a
        parameter is on another device.

    Examples:
        >>> import torch
        >>> from mmspd.engine.fused_optimizer import fuse_on_cuda
        >>> optimizer = torch.optim.Adam([torch.zeros(3, requires_grad=True)])
        >>> fuse_on_cuda(optimizer) is optimizer  # on the CPU
        True
    """
    kind, settings = type(optimizer), optimizer.defaults
    if kind not in _FUSED or settings['differentiable'] or not _is_on_cuda(optimizer):
        return optimizer
    if any(settings[key] is not None for key in IMPLEMENTATION):
        return optimizer
    names = inspect.signature(kind).parameters
    arguments = {name: settings[name] for name in names if name in settings}
    groups = [{**group, 'fused': True} for group in optimizer.param_groups]
    print_log(
        f'{kind.__name__} is fused; set optim_wrapper.optimizer.foreach=True for the default of '
        'PyTorch.',
        'current',
    )
    return kind(groups, **{**arguments, 'fused': True})


def _is_on_cuda(optimizer: Optimizer) -> bool:
    """Return whether all parameters of an optimizer are on CUDA."""
    return all(p.is_cuda for group in optimizer.param_groups for p in group['params'])
