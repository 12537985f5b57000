"""Repairs that let the OpenMMLab packages run with current PyTorch and NumPy.

MMagic's last release is 1.2.0 (January 2024); MMEngine's last release is 0.10.7. Each repair names
the upstream fault and is applied only where the fault exists. Older or fixed versions are not
modified. :func:`apply` runs when ``mmspd`` is imported.
"""

import importlib.util
import pickle
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Callable, List, Optional, Tuple, Union

__all__ = [
    'add_mmcv_ext_placeholder',
    'allow_runner_checkpoints',
    'apply',
    'let_nafnet_compile',
    'restore_numpy_bool8',
]

_NAFNET_NORM = 'mmagic.models.editors.nafnet.naf_layerNorm2d'
SafeGlobal = Union[Callable[..., Any], Tuple[Callable[..., Any], str]]


def apply() -> None:
    """Apply every repair that this installation needs; repeated calls have no effect."""
    add_mmcv_ext_placeholder()
    restore_numpy_bool8()
    allow_runner_checkpoints()
    let_nafnet_compile()


def add_mmcv_ext_placeholder() -> bool:
    """Make ``mmcv.ops`` importable with mmcv-lite, which has no compiled operators.

    Upstream fault: MMagic 1.2.0 imports ``mmcv.ops``, which imports ``mmcv._ext`` immediately. No
    deblurring model uses a compiled operator. The placeholder returns a function for every operator
    name. This function raises :class:`NotImplementedError` when it is called.

    Returns:
        True if the placeholder is installed. A compiled mmcv is never replaced.
    """
    name = 'mmcv._ext'
    if name in sys.modules:
        return isinstance(sys.modules[name], _MissingOps)
    # Read only the spec of the package, because `import mmcv` would also import OpenCV.
    package = importlib.util.find_spec('mmcv')
    if package is None or PathFinder.find_spec(name, package.submodule_search_locations):
        return False
    sys.modules[name] = _MissingOps(name)
    return True


class _MissingOps(ModuleType):
    """Replaces ``mmcv._ext``: every function exists and raises an error when called."""

    def __init__(self, name: str) -> None:
        super().__init__(name, doc='Placeholder: this mmcv has no compiled operators.')
        # Set no loader, so that mmcv's check_ops_exist() still returns False.
        self.__spec__ = ModuleSpec(name, loader=None)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith('__'):
            raise AttributeError(name)

        def missing(*args: Any, **kwargs: Any) -> None:
            raise NotImplementedError(
                f'The operator mmcv._ext.{name} is not in mmcv-lite; install the compiled mmcv '
                'that matches your PyTorch (pip uninstall mmcv-lite, then mim install mmcv).'
            )

        return missing


def restore_numpy_bool8() -> None:
    """Restore the alias ``numpy.bool8``.

    Upstream fault: MMagic 1.2.0 reads the alias during its import (utils/trans_utils.py), but
    NumPy 2.0 removed it.
    """
    import numpy as np

    # Do not use hasattr: on NumPy 1.24 to 1.26 it triggers the alias's deprecation warning.
    if int(np.__version__.split('.')[0]) >= 2 and 'bool8' not in vars(np):
        np.bool8 = np.bool_  # type: ignore[attr-defined]


def allow_runner_checkpoints() -> None:
    """Let PyTorch's safe loader read the checkpoints of MMEngine's runner.

    Upstream fault: MMEngine 0.10.7 calls ``torch.load`` without ``weights_only``. PyTorch 2.6
    changed the default of this argument to True. The checkpoints contain log histories, which the
    safe loader refuses, so ``resume`` fails. This repair adds the few harmless types of these
    histories to the allow-list. The safe loader remains active.

    Versions before PyTorch 2.6 do not need this repair, because MMEngine then unpickles the whole
    file. With these versions, load only files from a trusted source.
    """
    import torch

    if tuple(int(part) for part in torch.__version__.split('.')[:2]) >= (2, 6):
        torch.serialization.add_safe_globals(_runner_checkpoint_globals())


def _runner_checkpoint_globals() -> List[SafeGlobal]:
    """Return the types that a checkpoint needs besides tensors and plain Python values."""
    import numpy as np
    from mmengine.logging import HistoryBuffer

    reconstruct, scalar = np.ndarray(0).__reduce__()[0], np.float64(0).__reduce__()[0]
    return [
        HistoryBuffer,
        (_history_statistics, 'builtins.getattr'),
        np.ndarray,
        np.dtype,
        # The file may have been saved with the other major version of NumPy (1 or 2).
        *((reconstruct, f'numpy.{core}.multiarray._reconstruct') for core in ('core', '_core')),
        *((scalar, f'numpy.{core}.multiarray.scalar') for core in ('core', '_core')),
        *{type(np.dtype(code)) for code in '?bBhHiIlLqQefd'},
    ]


def _history_statistics(owner: Any, name: str) -> Any:
    """Replace ``builtins.getattr`` while a checkpoint is loaded.

    A pickled log history gets the statistics methods of ``HistoryBuffer`` with ``getattr``. This
    function returns only these methods.
    If the real ``getattr`` were on the allow-list, a malicious file could read any attribute of any
    object.

    Raises:
        pickle.UnpicklingError: The attribute is not one of the four statistics of
            ``HistoryBuffer``.
    """
    from mmengine.logging import HistoryBuffer

    if owner is HistoryBuffer and name in ('min', 'max', 'current', 'mean'):
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError(
        f'The checkpoint reads the attribute {name!r} of {owner!r}, which is not allowed; use a '
        'checkpoint from a trusted source.'
    )


def let_nafnet_compile() -> None:
    """Let ``torch.compile(fullgraph=True)`` trace MMagic's NAFNet.

    Upstream fault: ``LayerNorm2d`` of MMagic 1.2.0 (and of the official NAFNet) is an autograd
    function that reads ``ctx.saved_variables``. This breaks the graph at every block. The repair
    computes the same formula with plain tensor operations during tracing. Eager execution still
    runs the original function. The repair is applied immediately if NAFNet has been imported, and
    otherwise when NAFNet is imported.
    """
    if _NAFNET_NORM in sys.modules:
        _make_traceable(sys.modules[_NAFNET_NORM])
    elif not any(isinstance(finder, _NAFNetFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _NAFNetFinder())


class _NAFNetFinder(MetaPathFinder):
    """An import hook that repairs MMagic's ``LayerNorm2d`` when its module is imported."""

    def find_spec(
        self, fullname: str, path: Any, target: Optional[ModuleType] = None
    ) -> Optional[ModuleSpec]:
        spec = PathFinder.find_spec(fullname, path) if fullname == _NAFNET_NORM else None
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_repair(module: ModuleType) -> None:
                load(module)
                _make_traceable(module)

            spec.loader.exec_module = load_and_repair  # type: ignore[method-assign]
        return spec


def _make_traceable(module: Any) -> None:
    """Let ``LayerNorm2d`` use plain tensor operations while ``torch.compile`` traces it."""
    import torch

    original = module.LayerNorm2d.forward
    if original.__module__ == __name__:  # already repaired
        return
    is_compiling = getattr(torch.compiler, 'is_compiling', lambda: False)  # torch 2.1 lacks it

    def forward(self: Any, x: Any) -> Any:
        if not is_compiling():
            return original(self, x)
        mean = x.mean(1, keepdim=True)
        variance = (x - mean).pow(2).mean(1, keepdim=True)
        normed = (x - mean) / (variance + self.eps).sqrt()
        return self.weight.view(1, -1, 1, 1) * normed + self.bias.view(1, -1, 1, 1)

    module.LayerNorm2d.forward = forward
