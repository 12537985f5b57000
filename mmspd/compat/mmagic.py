"""Repair MMagic, and import only its parts that are used."""

import sys
from types import ModuleType
from typing import Any

from mmspd.compat import hooks
from mmspd.compat.lazy_packages import PACKAGES, make_lazy

__all__ = [
    'import_parts_only',
    'let_nafnet_compile',
    'normalize_restormer_exactly',
    'pool_nafnet_in_float32',
    'restore_numpy_bool8',
]


def import_parts_only() -> None:
    """Let MMagic import its parts when they are used, if it is not imported yet.

    Upstream fault: ``mmagic.models`` 1.2.0 imports every editor. Some need diffusers, transformers
    and albumentations in versions of 2023, which exclude current versions of these and of other
    packages.

    The packages in :data:`~mmspd.compat.lazy_packages.PACKAGES` start empty. A name is imported
    when it is first used, either as an attribute (``from mmagic.models import NAFNet``) or as a
    type in a config (``type='mmagic.NAFNet'``). A program that has imported the whole of MMagic
    before mmspd keeps it.
    """
    if 'mmagic.models' in sys.modules or 'mmagic.datasets' in sys.modules:
        return
    for name in PACKAGES:
        hooks.replace_import(name, make_lazy)
    hooks.after_import('mmagic.registry', _let_registries_import)


def _let_registries_import(module: ModuleType) -> None:
    """Let the registries import the module of a type when the type is first used."""
    from mmspd.compat.lazy_registry import LazyRegistry  # imports MMEngine

    for registry in vars(module).values():
        if set(getattr(registry, '_locations', ())) & set(PACKAGES):
            registry.__class__ = LazyRegistry


def restore_numpy_bool8() -> None:
    """Restore the alias ``numpy.bool8``.

    Upstream fault: MMagic 1.2.0 reads the alias during its import (utils/trans_utils.py), but
    NumPy 2.0 removed it.
    """
    import numpy as np

    # Do not use hasattr: on NumPy 1.24 to 1.26 it triggers the alias's deprecation warning.
    if int(np.__version__.split('.')[0]) >= 2 and 'bool8' not in vars(np):
        np.bool8 = np.bool_  # type: ignore[attr-defined]


def let_nafnet_compile(module: Any) -> None:
    """Let ``torch.compile(fullgraph=True)`` trace MMagic's NAFNet.

    Upstream fault: ``LayerNorm2d`` of MMagic 1.2.0 (and of the official NAFNet) is an autograd
    function that reads ``ctx.saved_variables``. This breaks the graph at every block. The repair
    computes the same formula with plain tensor operations during tracing. Eager execution still
    runs the original function.

    Args:
        module: ``mmagic.models.editors.nafnet.naf_layerNorm2d``.
    """
    import torch

    original = module.LayerNorm2d.forward
    if original.__module__ == __name__:  # already repaired
        return

    def forward(self: Any, x: Any) -> Any:
        if not torch.compiler.is_compiling():
            return original(self, x)
        mean = x.mean(1, keepdim=True)
        variance = (x - mean).pow(2).mean(1, keepdim=True)
        normed = (x - mean) / (variance + self.eps).sqrt()
        return self.weight.view(1, -1, 1, 1) * normed + self.bias.view(1, -1, 1, 1)

    module.LayerNorm2d.forward = forward


def pool_nafnet_in_float32(module: Any) -> None:
    """Let the local pools of MMagic's NAFNetLocal compute in at least float32.

    Upstream fault: ``NAFAvgPool2d`` of MMagic 1.2.0 (and of the official NAFNet) computes the means
    of its windows from cumulative sums of the type of its input. In bfloat16, a pooled mean of a
    photo of 12 megapixels is wrong by 5 % on average and 45 % at worst; in float16, the sums
    overflow. Results in float32 and float64 do not change.

    Args:
        module: ``mmagic.models.editors.nafnet.naf_avgpool2d``.
    """
    import torch

    original = module.NAFAvgPool2d.forward
    if original.__module__ == __name__:  # already repaired
        return

    def forward(self: Any, x: Any) -> Any:
        precise = torch.promote_types(x.dtype, torch.float32)
        return original(self, x.to(precise)).to(x.dtype)

    module.NAFAvgPool2d.forward = forward


def normalize_restormer_exactly(module: Any) -> None:
    """Let the attention of MMagic's Restormer normalize exactly in channels-last memory on a CPU.

    Upstream fault: the attention divides its queries and keys by their norms over all pixels.
    PyTorch's ``normalize`` adds the squares of strided pixels one by one in float32. In
    channels-last memory, the norm of a photo of 12 megapixels is wrong by 1 %. The repair copies
    the queries and keys to contiguous memory first. Contiguous networks and GPUs do not change.

    Args:
        module: ``mmagic.models.editors.restormer.restormer_net``.
    """
    original = module.Attention.__init__
    if original.__module__ == __name__:  # already repaired
        return

    def initialize(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        self.qkv_dwconv.register_forward_hook(_make_contiguous)

    module.Attention.__init__ = initialize


def _make_contiguous(module: Any, args: Any, output: Any) -> Any:
    """Copy the output of a convolution on a CPU to contiguous memory, for a forward hook."""
    return output.contiguous() if output.is_cpu else output
