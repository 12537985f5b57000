"""Fused optimizers, which update all parameters in one pass."""

import inspect

from torch.optim import SGD, Adam, AdamW, Optimizer

__all__ = ['IMPLEMENTATION', 'fuse']

#: Arguments that choose between equal implementations of an optimizer.
IMPLEMENTATION = ('fused', 'foreach')
#: Optimizers with a fused implementation on CUDA and on the CPU.
_FUSED = (Adam, AdamW, SGD)


def fuse(optimizer: Optimizer) -> Optimizer:
    """Choose the fused implementation of an optimizer whose parameters are on CUDA or the CPU.

    PyTorch's default is ``foreach`` on CUDA, which needs more kernels, and a loop over the
    parameters on the CPU, which takes three times as long. The results agree up to rounding.

    Args:
        optimizer: An optimizer that has made no step.

    Returns:
        An optimizer with the same arguments and ``fused=True``, or the given optimizer if its
        ``fused`` or ``foreach`` is set, its class has no fused implementation, or a parameter is on
        another device.

    Examples:
        >>> import torch
        >>> from mmspd.engine.fused_optimizer import fuse
        >>> optimizer = torch.optim.Adam([torch.zeros(3, requires_grad=True)])
        >>> fuse(optimizer).defaults['fused']
        True
    """
    kind, settings = type(optimizer), optimizer.defaults
    if kind not in _FUSED or settings['differentiable'] or not _has_kernels(optimizer):
        return optimizer
    if any(settings[key] is not None for key in IMPLEMENTATION):
        return optimizer
    names = inspect.signature(kind).parameters
    arguments = {name: settings[name] for name in names if name in settings}
    groups = [{**group, 'fused': True} for group in optimizer.param_groups]
    return kind(groups, **{**arguments, 'fused': True})


def _has_kernels(optimizer: Optimizer) -> bool:
    """Return whether all parameters of an optimizer are on CUDA, or all on the CPU."""
    parameters = [p for group in optimizer.param_groups for p in group['params']]
    return all(p.is_cuda for p in parameters) or all(p.is_cpu for p in parameters)
