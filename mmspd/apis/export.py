"""Export networks to files that run without mmspd: ONNX files and PyTorch programs."""

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

from mmspd.errors import UsageError, UserError
from mmspd.models.guided import as_list
from mmspd.models.layers.padding import pad_to_multiple
from mmspd.utils.files import write_bytes

__all__ = ['SIZES', 'Exportable', 'Exported', 'export_network']

#: Heights and widths of the images that check an export. They are not multiples of a stride. Some
#: are smaller and some are larger than the exporter's example image.
SIZES = ((61, 75), (98, 145), (190, 243))
#: Largest allowed difference between the outputs of the export and the network. The inputs of both
#: are in [0, 1].
TOLERANCE = 1e-4
# ONNX opset versions that PyTorch's exporter can write.
_OPSETS = range(18, 25)
# Shape (N, C, H, W) of the exporter's example. It is not square and not a multiple of a stride. It
# is so large that no feature map shrinks to one pixel: the exporter treats size 1 as constant.
_EXAMPLE = (2, 3, 173, 229)

Size = Tuple[int, int]
Restore = Callable[[np.ndarray], np.ndarray]


class Exported(NamedTuple):
    """Differences and run times of an export and the original network.

    Attributes:
        differences: A dict from each image size to the largest absolute difference between the
            outputs of the export and the network.
        seconds: Times of the network and of the export for one image, in seconds; ``None`` if they
            were not measured.
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
    """Export a network, compare the export with the network, and write the export to a file.

    The exported network takes batches and images of any size. Its input is named ``blurry`` and its
    output ``restored``. Both are ``(N, 3, H, W)``, float32, RGB, [0, 1]. The output is not clamped
    to [0, 1].

    Args:
        network: A plain or guided restorer on the CPU. It is set to evaluation mode.
        path: File to write, ``.onnx`` or ``.pt2``. ``torch.export.load`` reads ``.pt2`` files.
        metadata: A dict from names to texts, which is stored in the file. A ``.pt2`` file stores it
            as ``mmspd.json``.
        sizes: Heights and widths of the random images on which the outputs of the export and the
            network are compared. Two images of the first size are compared as one batch.
        opset: ONNX opset version; by default the exporter chooses it.
        pad_to: Pad images to multiples of this number; see :class:`Exportable`.
        time_size: Height and width of an image to measure the times on.

    Returns:
        The differences and, if ``time_size`` is given, the times.

    Raises:
        UserError: The suffix is unknown, a package is missing, the network cannot be exported, or
            the outputs of the export and the network differ. No file is written in these cases.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> from torch import nn
        >>> from mmspd.apis.export import export_network
        >>> network = nn.Conv2d(3, 3, kernel_size=3, padding=1)
        >>> with TemporaryDirectory() as folder:
        ...     exported = export_network(network, f'{folder}/network.pt2', metadata={})
        >>> max(exported.differences.values()) < 1e-4
        True
    """
    path = Path(path)
    _check_target(path, opset)
    network.eval()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # the exporters warn about their own internals
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
        except Exception as error:  # exporters raise many kinds of errors for unsupported networks
            raise UserError(
                'The network cannot be exported for variable image sizes '
                f'({type(error).__name__}: {_first_line(error)}); set --pad-to to the number of '
                'pixels whose multiples the network needs, or remove Python code that depends on '
                'the image size, such as if and int().'
            ) from error
        differences = _compare(network, restore, sizes)
        seconds = time_size and _measure(network, restore, time_size)
    write_bytes(path, data)
    return Exported(differences, seconds)


def _check_target(path: Path, opset: Optional[int]) -> None:
    """Raise an error if the suffix or the opset is not supported, or a package is missing."""
    if path.suffix not in ('.onnx', '.pt2'):
        raise UsageError(f"'{path}' has an unknown suffix; use .onnx or .pt2.")
    if path.suffix == '.pt2':
        if opset is not None:
            raise UsageError(f"--opset is only for .onnx files; remove it or rename '{path}'.")
        return
    if opset is not None and opset not in _OPSETS:
        raise UsageError(f'--opset {opset} is not supported; use {_OPSETS[0]} to {_OPSETS[-1]}.')
    needed = ('onnx', 'onnxscript', 'onnxruntime')
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f'The ONNX export needs {" and ".join(missing)}; run pip install {" ".join(missing)}.'
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
    if opset not in (None, written):  # PyTorch ignores an opset that it cannot convert to
        raise RuntimeError(f'Opset {written} cannot be converted to {opset}.')
    # rename the axes, and delete the notes about intermediate tensors, which use the old names
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
    """Return the first line of the original error, without the errors that wrap it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().partition('\n')[0]


def _compare(network: nn.Module, restore: Restore, sizes: Sequence[Size]) -> Dict[Size, float]:
    """Compare the outputs on random images, and return the largest difference for each size.

    Raises:
        UserError: A difference is larger than :data:`TOLERANCE`, or the export fails on a size.
    """
    rng = np.random.default_rng(0)
    differences = {}
    for number, size in enumerate(sizes):
        blurry = rng.random((1 if number else 2, 3, *size), dtype=np.float32)
        name = '{}x{}'.format(*size)
        with torch.no_grad():
            expected = _eager(network)(blurry)
            try:
                restored = restore(blurry)
            except Exception as error:  # each runtime has its own error classes
                raise UserError(
                    f'No file was written, because the export fails on an image of {name} '
                    f'({_first_line(error)}); try --pad-to or other --sizes.'
                ) from error
        same_shape = restored.shape == expected.shape
        difference = float(np.abs(restored - expected).max()) if same_shape else float('nan')
        if not difference <= TOLERANCE:
            raise UserError(
                f'No file was written, because the export differs by {difference:.2g} from the '
                f'network on an image of {name} (allowed: {TOLERANCE:g}); remove random or '
                'size-dependent steps from the network.'
            )
        differences[size] = difference
    return differences


def _measure(network: nn.Module, restore: Restore, size: Size) -> Tuple[float, float]:
    """Time the network and its export. Return the seconds of the fastest of three runs of each."""
    blurry = np.random.default_rng(0).random((1, 3, *size), dtype=np.float32)

    def best(run: Restore) -> float:
        return min(timeit.repeat(lambda: run(blurry), repeat=4, number=1)[1:])

    with torch.no_grad():
        return best(_eager(network)), best(restore)


class Exportable(nn.Module):
    """Wraps a restorer so that its Python code does not depend on the image size.

    The wrapper takes an image and returns one restored image. It uses a copy of the restorer.

    Args:
        restorer: A plain or guided restorer. It takes ``(N, 3, H, W)``, RGB, [0, 1], and returns an
            image or a list of images, of which the last one is used.
        pad_to: Before the restorer, pad the image by reflection to a multiple of this number. Set
            it for restorers whose own padding branches on the image size, such as MMagic's
            Restormer (set 8).

    Examples:
        >>> import torch
        >>> from mmspd.apis.export import Exportable
        >>> from mmspd.registry import build_model
        >>> restorer = build_model(dict(type='mmspd.MIMOUNet', base=4, num_res=1))
        >>> len(restorer(torch.rand(1, 3, 16, 16)))
        3
        >>> Exportable(restorer)(torch.rand(1, 3, 21, 13)).shape
        torch.Size([1, 3, 21, 13])
    """

    def __init__(self, restorer: nn.Module, pad_to: int = 1) -> None:
        super().__init__()
        self.restorer = copy.deepcopy(restorer).eval().requires_grad_(False)
        self.pad_to = pad_to
        modules: List[Any] = list(self.restorer.modules())
        for module in modules:
            if hasattr(module, 'outputs'):
                module.outputs = 'last'  # the smaller outputs are not needed
            for name, child in module.named_children():
                if type(child).__name__ == 'NAFAvgPool2d':
                    setattr(module, name, _LocalMean(child.kernel_size))

    def forward(self, blurry: Tensor) -> Tensor:
        """Restore images.

        Args:
            blurry: Images ``(N, 3, H, W)``, RGB, [0, 1].

        Returns:
            The restored images ``(N, 3, H, W)``, not clamped.
        """
        with _CopiedCrops():
            if self.pad_to == 1:
                return as_list(self.restorer(blurry))[-1]
            height, width = blurry.shape[-2:]
            padded = pad_to_multiple(blurry, self.pad_to)
            return as_list(self.restorer(padded))[-1][..., :height, :width]


class _CopiedCrops(TorchFunctionMode):
    """Makes ``x[..., :height, :width]`` a copy instead of a view.

    A view may be contiguous or not, depending on its size. torch.export would record the answer for
    the example image as a constant. A copy is always contiguous.
    """

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: Optional[dict] = None
    ) -> Any:
        if func is Tensor.__getitem__ and _is_corner(args[1]):
            x, (*_, rows, columns) = args
            return x.narrow_copy(-2, 0, rows.stop).narrow_copy(-1, 0, columns.stop)
        return func(*args, **(kwargs or {}))


def _is_corner(index: Any) -> bool:
    """Return whether an index is ``[..., :height, :width]`` or ``[:, :, :height, :width]``."""
    if not isinstance(index, tuple) or len(index) < 3:
        return False
    if any(not isinstance(part, slice) or part.start or part.step for part in index[1:]):
        return False
    whole = index[0] is Ellipsis or (len(index) == 4 and index[0] == index[1] == slice(None))
    return whole and None not in (index[-2].stop, index[-1].stop)


class _LocalMean(nn.Module):
    """Computes the local means of MMagic's ``NAFAvgPool2d`` (TLC) without branches on the size.

    Each output is the mean over a window around the pixel, computed from a summed-area table. At
    the border, the window moves inside the image. If the window is larger than the image, the
    output at each pixel is the mean of the whole image; MMagic returns this mean as one pixel.
    The sums are float32 or more precise, because half precision cannot hold the sums of a photo.

    Args:
        window: Height and width of the window.
    """

    def __init__(self, window: Sequence[int]) -> None:
        super().__init__()
        self.window = tuple(window)

    def forward(self, x: Tensor) -> Tensor:
        """Return the local means of ``x``. Input and output are ``(N, C, H, W)``."""
        precise = torch.promote_types(x.dtype, torch.float32)
        sums = F.pad(x.cumsum(-1, dtype=precise).cumsum(-2), (1, 0, 1, 0))
        area: Any = 1
        for dim, window in zip((-2, -1), self.window):
            size = x.shape[dim]
            side = torch.sym_min(size, window)
            # at the border, move the window inside the image
            start = torch.arange(size, device=x.device) - (side - 1) // 2
            start = start.clamp(min=0, max=size - side)
            sums = sums.index_select(dim, start + side) - sums.index_select(dim, start)
            area = area * side
        return (sums / area).to(x.dtype)
