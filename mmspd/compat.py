"""Repairs of the OpenMMLab stack on today's releases.

MMagic has not been released since January 2024 and MMEngine not since 0.10.7. Each repair here
names the fault it answers and is applied only where that fault is found, so an older or a mended
stack is left alone. :func:`apply` runs when ``mmspd`` is imported.
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
    """Apply every repair that this installation needs; calling it again changes nothing."""
    add_mmcv_ext_placeholder()
    restore_numpy_bool8()
    allow_runner_checkpoints()
    let_nafnet_compile()


def add_mmcv_ext_placeholder() -> bool:
    """Let ``mmcv.ops`` be imported where mmcv has no compiled operators (mmcv-lite).

    Upstream fault: MMagic 1.2.0 imports ``mmcv.ops`` when it is imported, and that package loads
    ``mmcv._ext`` at once, although no deblurring model uses a compiled operator. The placeholder
    has every name that is asked for; calling one raises :class:`NotImplementedError`.

    Returns:
        Whether the placeholder is in place; a compiled mmcv is never touched.
    """
    name = 'mmcv._ext'
    if name in sys.modules:
        return isinstance(sys.modules[name], _MissingOps)
    # The spec of the package is enough: importing mmcv itself would also import OpenCV.
    package = importlib.util.find_spec('mmcv')
    if package is None or PathFinder.find_spec(name, package.submodule_search_locations):
        return False
    sys.modules[name] = _MissingOps(name)
    return True


class _MissingOps(ModuleType):
    """Stands for ``mmcv._ext``: its functions exist, and say what is missing when called."""

    def __init__(self, name: str) -> None:
        super().__init__(name, doc='Placeholder: this mmcv has no compiled operators.')
        # Without a loader mmcv's own check_ops_exist() keeps answering no.
        self.__spec__ = ModuleSpec(name, loader=None)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith('__'):
            raise AttributeError(name)

        def missing(*args: Any, **kwargs: Any) -> None:
            raise NotImplementedError(
                f'the operator mmcv._ext.{name} is not in mmcv-lite: install the compiled mmcv '
                'that matches your PyTorch (pip uninstall mmcv-lite, then mim install mmcv)'
            )

        return missing


def restore_numpy_bool8() -> None:
    """Bring back ``numpy.bool8``.

    Upstream fault: MMagic 1.2.0 reads the alias when it is imported (utils/trans_utils.py), and
    NumPy 2.0 removed it.
    """
    import numpy as np

    # No hasattr: on NumPy 1.24-1.26 that would give the deprecation warning of the alias.
    if int(np.__version__.split('.')[0]) >= 2 and 'bool8' not in vars(np):
        np.bool8 = np.bool_  # type: ignore[attr-defined]


def allow_runner_checkpoints() -> None:
    """Let PyTorch's safe loader read the checkpoints that MMEngine's runner writes.

    Upstream fault: MMEngine 0.10.7 calls ``torch.load`` without ``weights_only``, whose default is
    true since PyTorch 2.6, and its checkpoints hold histories of log values, which the safe loader
    refuses; so ``resume`` fails. The few harmless types in them are put on the allow-list, and the
    safe loader stays on.

    PyTorch before 2.6 needs no repair to resume: there MMEngine unpickles in full, so only files
    from a trusted source may be loaded.
    """
    import torch

    if tuple(int(part) for part in torch.__version__.split('.')[:2]) >= (2, 6):
        torch.serialization.add_safe_globals(_runner_checkpoint_globals())


def _runner_checkpoint_globals() -> List[SafeGlobal]:
    """Return what a runner's checkpoint holds beyond tensors and plain Python values."""
    import numpy as np
    from mmengine.logging import HistoryBuffer

    reconstruct, scalar = np.ndarray(0).__reduce__()[0], np.float64(0).__reduce__()[0]
    return [
        HistoryBuffer,
        (_history_statistics, 'builtins.getattr'),
        np.ndarray,
        np.dtype,
        # a file may come from a machine with the other major version of NumPy
        *((reconstruct, f'numpy.{core}.multiarray._reconstruct') for core in ('core', '_core')),
        *((scalar, f'numpy.{core}.multiarray.scalar') for core in ('core', '_core')),
        *{type(np.dtype(code)) for code in '?bBhHiIlLqQefd'},
    ]


def _history_statistics(owner: Any, name: str) -> Any:
    """Stand in for ``getattr`` in checkpoints, where only log histories need it.

    ``HistoryBuffer`` pickles its table of statistics, that is its own methods, through
    ``builtins.getattr``. The real one on the allow-list would hand any attribute of any object to
    a hostile file.

    Raises:
        pickle.UnpicklingError: For anything but the four statistics of ``HistoryBuffer``.
    """
    from mmengine.logging import HistoryBuffer

    if owner is HistoryBuffer and name in ('min', 'max', 'current', 'mean'):
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError(f'a checkpoint may not read the attribute {name!r} of {owner!r}')


def let_nafnet_compile() -> None:
    """Let ``torch.compile(fullgraph=True)`` trace MMagic's NAFNet, at once or when it is imported.

    Upstream fault: the ``LayerNorm2d`` of MMagic 1.2.0 (and of NAFNet itself) is an autograd
    function that reads ``ctx.saved_variables``, which breaks the graph at every block. While a
    graph is traced, the same formula in plain tensor operations takes its place; eager execution
    keeps the original.
    """
    if _NAFNET_NORM in sys.modules:
        _make_traceable(sys.modules[_NAFNET_NORM])
    elif not any(isinstance(finder, _NAFNetFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _NAFNetFinder())


class _NAFNetFinder(MetaPathFinder):
    """Finds MMagic's ``LayerNorm2d`` as Python does, and repairs it as soon as it is loaded."""

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
    """Give the module's ``LayerNorm2d`` a second form, for compilers."""
    import torch

    original = module.LayerNorm2d.forward
    if original.__module__ == __name__:  # repaired before
        return
    is_compiling = getattr(torch.compiler, 'is_compiling', lambda: False)  # torch 2.1 has none

    def forward(self: Any, x: Any) -> Any:
        if not is_compiling():
            return original(self, x)
        mean = x.mean(1, keepdim=True)
        variance = (x - mean).pow(2).mean(1, keepdim=True)
        normed = (x - mean) / (variance + self.eps).sqrt()
        return self.weight.view(1, -1, 1, 1) * normed + self.bias.view(1, -1, 1, 1)

    module.LayerNorm2d.forward = forward
