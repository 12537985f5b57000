"""A restorer in the form that torch.export can take for images of any size."""

import copy
from typing import Any, Callable, Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mmspd.models.guided import as_list
from mmspd.models.layers.padding import pad_to_multiple

__all__ = ['Exportable', 'export_graph']

# Batch, channels, rows and columns of the example: not square, no multiples of anything, and large
# enough that no feature is a single pixel, which an exporter would take for a fixed size.
EXAMPLE = (2, 3, 173, 229)


class Exportable(nn.Module):
    """An image in, the restored image out, and no decision in Python that hangs on the size.

    The restorer, plain or guided, is copied, and so stays as it is.

    Args:
        restorer: takes ``(N, 3, H, W)``, RGB, [0, 1], and returns an image or several.
        pad_to: pad the image by reflection to a multiple of this first, for a restorer whose own
            padding tells multiples from other sizes, as that of MMagic's Restormer (8) does.
    """

    def __init__(self, restorer: nn.Module, pad_to: int = 1) -> None:
        super().__init__()
        self.restorer = copy.deepcopy(restorer).eval().requires_grad_(False)
        self.pad_to = pad_to
        for module in list(self.restorer.modules()):
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


def export_graph(network: Exportable) -> torch.export.ExportedProgram:
    """Record a network as a graph in which batch, height and width are free.

    Raises:
        Exception: whatever the network or the exporter raise where they need a fixed size.
    """
    free = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    with torch.no_grad():
        return torch.export.export(
            network, (torch.rand(EXAMPLE),), dynamic_shapes={'blurry': free}, strict=False
        )


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
        area = 1
        for dim, window in zip((-2, -1), self.window):
            size = x.shape[dim]
            side = torch.sym_min(size, window)
            # at the border the nearest window that lies within
            start = torch.arange(size, device=x.device) - (side - 1) // 2
            start = start.clamp(min=0, max=size - side)
            sums = sums.index_select(dim, start + side) - sums.index_select(dim, start)
            area = area * side
        return sums / area
