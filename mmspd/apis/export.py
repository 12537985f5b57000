"""Networks as files that run without mmspd: ONNX, and PyTorch's own exported programs."""

import importlib.util
import io
import json
import time
import warnings
from pathlib import Path
from typing import Callable, Dict, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from torch import nn

from mmspd.apis.exportable import Exportable, export_graph
from mmspd.errors import UserError
from mmspd.models.guided import as_list
from mmspd.utils.files import write_bytes

__all__ = ['OPSETS', 'SIZES', 'TOLERANCE', 'Exported', 'export_network']

#: Rows and columns of the images on which an export is checked: no multiples of anything, smaller
#: and larger than the example it is made with.
SIZES = ((61, 75), (98, 145), (190, 243))
#: Largest difference from the network itself that an export may have; images are in 0..1.
TOLERANCE = 1e-4
#: Versions of ONNX's operators that PyTorch's exporter writes.
OPSETS = range(18, 25)

Size = Tuple[int, int]
Restore = Callable[[np.ndarray], np.ndarray]


class Exported(NamedTuple):
    """What an export was found to do.

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
        pad_to: see :class:`~mmspd.apis.exportable.Exportable`.
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
            program = export_graph(Exportable(network, pad_to))
            if path.suffix == '.onnx':
                data = _to_onnx(program, metadata, opset)
                restore = _open_onnx(data)
            else:
                data = _to_pt2(program, metadata)
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
    if opset is not None and opset not in OPSETS:
        raise UserError(f'--opset {opset} must be {OPSETS[0]} to {OPSETS[-1]}')
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

    exported = torch.onnx.export(
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


def _to_pt2(program: torch.export.ExportedProgram, metadata: Dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={'mmspd.json': json.dumps(metadata)})
    return buffer.getvalue()


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
            want = _eager(network)(blurry)
            try:
                got = restore(blurry)
            except Exception as error:  # the runtimes have classes of their own for this
                raise UserError(
                    f'the export does not take an image of {name} ({_first_line(error)}): no file '
                    'is written'
                ) from error
        difference = float(np.abs(got - want).max()) if got.shape == want.shape else float('nan')
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
        took = []
        for _ in range(4):
            start = time.perf_counter()
            run(blurry)
            took.append(time.perf_counter() - start)
        return min(took[1:])

    with torch.no_grad():
        return best(_eager(network)), best(restore)
