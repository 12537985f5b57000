"""Networks as files that run without mmspd: ONNX, and PyTorch's own exported programs."""

import copy
import importlib.util
import io
import json
import timeit
import warnings
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mmspd.errors import UserError
from mmspd.models.guided import as_list
from mmspd.models.layers.padding import pad_to_multiple
from mmspd.utils.files import write_bytes

__all__ = ['SIZES', 'Exportable', 'Exported', 'export_network']

#: Rows and columns of the images on which an export is checked: no multiples of anything, smaller
#: and larger than the example it is made with.
SIZES = ((61, 75), (98, 145), (190, 243))
#: Largest difference from the network itself that an export may have; images are in 0..1.
TOLERANCE = 1e-4
# Versions of ONNX's operators that PyTorch's exporter writes.
_OPSETS = range(18, 25)
# Batch, channels, rows and columns of the example: not square, no multiples of anything, and large
# enough that no feature is a single pixel, which an exporter would take for a fixed size.
_EXAMPLE = (2, 3, 173, 229)

Size = Tuple[int, int]
Restore = Callable[[np.ndarray], np.ndarray]


class Exported(NamedTuple):
    """What an export does.

    Attributes:
        differences: by size, the largest difference of a value from the network's own.
        seconds: that the network itself and the export took for one image; None if not asked for.
    """

    differences: Dict[Size, float]
    seconds: Optional[Tuple[float, float]]


def export_network(
    network: nn.Module,
    path: Union[str, Path],
    metadata: Dict[str, str],
    sizes: Sequence[Size] = SIZES,
    opset: Optional[int] = None,
    pad_to: int = 1,
    time_size: Optional[Size] = None,
) -> Exported:
    """Write a network for images and batches of any size, if it computes there what it does here.

    Its input ``blurry`` and its output ``restored`` are ``(N, 3, H, W)``, float32, RGB, [0, 1]; as
    the network's own, the output is not clamped to that.

    Args:
        network: a restorer, plain or guided, on the CPU; it is left in evaluation mode.
        path: ``.onnx`` or ``.pt2`` (``torch.export.load`` reads it).
        metadata: written into the file; in a ``.pt2`` as ``mmspd.json``.
        sizes: rows and columns of the random images on which the file is compared with the
            network, the first one as a batch of two.
        opset: version of ONNX's operators; the exporter's choice by default.
        pad_to: see :class:`Exportable`.
        time_size: measure how long an image of this size takes.

    Raises:
        UserError: the suffix is unknown, a package is missing, the network cannot be exported, or
            the export computes something else. No file is written then.
    """
    path = Path(path)
    _check_target(path, opset)
    network.eval()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of the exporters, about their own insides
        try:
            free = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
            with torch.no_grad():
                program = torch.export.export(
                    Exportable(network, pad_to),
                    (torch.rand(_EXAMPLE),),
                    dynamic_shapes={'blurry': free},
                    strict=False,
                )
            if path.suffix == '.onnx':
                data = _to_onnx(program, metadata, opset)
                restore = _open_onnx(data)
            else:
                buffer = io.BytesIO()
                torch.export.save(program, buffer, extra_files={'mmspd.json': json.dumps(metadata)})
                data = buffer.getvalue()
                restore = _open_pt2(data)
        except Exception as error:  # whatever somebody else's network makes the exporters raise
            raise UserError(
                f'this network cannot be exported for any size ({type(error).__name__}: '
                f'{_first_line(error)}): try --pad-to with the multiple that its sides need'
            ) from error
        differences = _compare(network, restore, sizes)
        seconds = time_size and _measure(network, restore, time_size)
    write_bytes(path, data)
    return Exported(differences, seconds)


def _check_target(path: Path, opset: Optional[int]) -> None:
    """Refuse what cannot be written before the work begins."""
    if path.suffix not in ('.onnx', '.pt2'):
        raise UserError(f"'{path}' must end in .onnx or .pt2")
    if path.suffix == '.pt2':
        if opset is not None:
            raise UserError(f"--opset is for .onnx files, but '{path}' is to be written")
        return
    if opset is not None and opset not in _OPSETS:
        raise UserError(f'--opset {opset} must be {_OPSETS[0]} to {_OPSETS[-1]}')
    needed = ('onnx', 'onnxscript', 'onnxruntime')
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f'to write ONNX, {" and ".join(missing)} must be installed: '
            f'pip install {" ".join(missing)}'
        )


def _to_onnx(
    program: torch.export.ExportedProgram, metadata: Dict[str, str], opset: Optional[int]
) -> bytes:
    import onnx

    exported: Any = torch.onnx.export(
        program,
        dynamo=True,
        verbose=False,
        opset_version=opset,
        input_names=['blurry'],
        output_names=['restored'],
    )
    model = exported.model_proto
    written = next(entry.version for entry in model.opset_import if not entry.domain)
    if opset not in (None, written):  # a conversion that fails leaves the version as it was
        raise RuntimeError(f'opset {written} cannot be converted to {opset}')
    # names for people; what the exporter noted of the tensors between has others
    del model.graph.value_info[:]
    for tensor in (*model.graph.input, *model.graph.output):
        for axis, name in ((0, 'N'), (2, 'H'), (3, 'W')):
            tensor.type.tensor_type.shape.dim[axis].dim_param = name
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _open_onnx(data: bytes) -> Restore:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(data, options, providers=['CPUExecutionProvider'])
    return lambda blurry: session.run(['restored'], {'blurry': blurry})[0]


def _open_pt2(data: bytes) -> Restore:
    module = torch.export.load(io.BytesIO(data)).module()
    return lambda blurry: module(torch.from_numpy(blurry)).numpy()


def _eager(network: nn.Module) -> Restore:
    return lambda blurry: as_list(network(torch.from_numpy(blurry)))[-1].numpy()


def _first_line(error: BaseException) -> str:
    """Say what went wrong first: the exporters wrap an error in advice on reporting it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().partition('\n')[0]


def _compare(network: nn.Module, restore: Restore, sizes: Sequence[Size]) -> Dict[Size, float]:
    """Return the largest difference at every size; raise where it is too large."""
    rng = np.random.default_rng(0)
    differences = {}
    for number, size in enumerate(sizes):
        blurry = rng.random((1 if number else 2, 3, *size), dtype=np.float32)
        name = '{}x{}'.format(*size)
        with torch.no_grad():
            expected = _eager(network)(blurry)
            try:
                restored = restore(blurry)
            except Exception as error:  # the runtimes have classes of their own for this
                raise UserError(
                    f'the export does not take an image of {name} ({_first_line(error)}): no file '
                    'is written'
                ) from error
        same_shape = restored.shape == expected.shape
        difference = float(np.abs(restored - expected).max()) if same_shape else float('nan')
        if not difference <= TOLERANCE:
            raise UserError(
                f'the export differs by {difference:.2g} from the network on an image of {name}, '
                f'more than {TOLERANCE:g}: no file is written'
            )
        differences[size] = difference
    return differences


def _measure(network: nn.Module, restore: Restore, size: Size) -> Tuple[float, float]:
    """Return the seconds that the network and its export take: the best of three runs, warm."""
    blurry = np.random.default_rng(0).random((1, 3, *size), dtype=np.float32)

    def best(run: Restore) -> float:
        return min(timeit.repeat(lambda: run(blurry), repeat=4, number=1)[1:])

    with torch.no_grad():
        return best(_eager(network)), best(restore)


class Exportable(nn.Module):
    """An image in, the restored image out, and no decision in Python that hangs on the size.

    The restorer, plain or guided, is copied, and so stays as it is.

    Args:
        restorer: takes ``(N, 3, H, W)``, RGB, [0, 1], and returns an image or several.
        pad_to: pad the image by reflection to a multiple of this first, for a restorer whose own
            padding decides in Python whether to pad, as that of MMagic's Restormer (8) does.
    """

    def __init__(self, restorer: nn.Module, pad_to: int = 1) -> None:
        super().__init__()
        self.restorer = copy.deepcopy(restorer).eval().requires_grad_(False)
        self.pad_to = pad_to
        modules: List[Any] = list(self.restorer.modules())
        for module in modules:
            if hasattr(module, 'outputs'):
                module.outputs = 'last'  # the smaller images would be cropped in vain
            for name, child in module.named_children():
                if type(child).__name__ == 'NAFAvgPool2d':
                    setattr(module, name, _LocalMean(child.kernel_size))

    def forward(self, blurry: Tensor) -> Tensor:
        """Restore ``(N, 3, H, W)``, RGB, [0, 1]."""
        with _CutsAreCopies():
            if self.pad_to == 1:
                return as_list(self.restorer(blurry))[-1]
            height, width = blurry.shape[-2:]
            padded = pad_to_multiple(blurry, self.pad_to)
            return as_list(self.restorer(padded))[-1][..., :height, :width]


class _CutsAreCopies(TorchFunctionMode):
    """Make ``x[..., :height, :width]`` a copy instead of a view.

    Whether a view is contiguous hangs on the sizes, and torch.export would freeze the example's
    answer; of a copy it is known.
    """

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: Optional[dict] = None
    ) -> Any:
        if func is Tensor.__getitem__ and _is_corner(args[1]):
            x, (*_, rows, columns) = args
            return x.narrow_copy(-2, 0, rows.stop).narrow_copy(-1, 0, columns.stop)
        return func(*args, **(kwargs or {}))


def _is_corner(index: Any) -> bool:
    """Tell whether an index is ``[..., :height, :width]`` or ``[:, :, :height, :width]``."""
    if not isinstance(index, tuple) or len(index) < 3:
        return False
    if any(not isinstance(part, slice) or part.start or part.step for part in index[1:]):
        return False
    whole = index[0] is Ellipsis or (len(index) == 4 and index[0] == index[1] == slice(None))
    return whole and None not in (index[-2].stop, index[-1].stop)


class _LocalMean(nn.Module):
    """MMagic's ``NAFAvgPool2d`` (the means of TLC) without its branches on the size.

    The mean over a window around each pixel, from sums over all that is above and to the left of
    it; the window stays within the image. MMagic's branch for an image that is no larger than the
    window gives the same numbers once.

    Args:
        window: rows and columns.
    """

    def __init__(self, window: Sequence[int]) -> None:
        super().__init__()
        self.window = tuple(window)

    def forward(self, x: Tensor) -> Tensor:
        """Smooth ``(N, C, H, W)``."""
        sums = F.pad(x.cumsum(-1).cumsum(-2), (1, 0, 1, 0))
        area: Any = 1
        for dim, window in zip((-2, -1), self.window):
            size = x.shape[dim]
            side = torch.sym_min(size, window)
            # at the border the nearest window that lies within
            start = torch.arange(size, device=x.device) - (side - 1) // 2
            start = start.clamp(min=0, max=size - side)
            sums = sums.index_select(dim, start + side) - sums.index_select(dim, start)
            area = area * side
        return sums / area
