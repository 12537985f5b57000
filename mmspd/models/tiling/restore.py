"""Restore images of any size, as a whole or tile by tile."""

import itertools
from contextlib import contextmanager, nullcontext
from typing import Any, Callable, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor, nn

from mmspd.errors import UsageError, UserError
from mmspd.models.layers.padding import crop_to, pad_to, round_up
from mmspd.models.tiling.grid import Span, fades
from mmspd.models.tiling.memory import free_memory, held_memory
from mmspd.models.tiling.network import TileNetwork
from mmspd.models.tiling.orientation import ORIENTATIONS, Orientation
from mmspd.models.tiling.plan import Plan, choose_tiles
from mmspd.utils.precision import compute_in

__all__ = ['restore_images']

OVERLAP = 128
FREE_SHARE = 0.7  # share of the free memory that is the default budget


class _View(NamedTuple):
    """A view of the images in one orientation.

    :meth:`part` flips and rotates only the requested part.
    """

    images: Tensor
    orientation: Orientation

    @property
    def size(self) -> Tuple[int, int]:
        height, width = self.images.shape[-2:]
        return self.orientation.size((height, width))

    def part(self, rows: Span, columns: Span) -> Tensor:
        return self.orientation.apply(self.images[self.source(rows, columns)])

    def source(self, rows: Span, columns: Span) -> Tuple[Any, ...]:
        """Return the index into :attr:`images` for a part of the view."""
        height, width = self.images.shape[-2:]
        return (..., *self.orientation.source(rows, columns, (height, width)))


def restore_images(
    model: Union[nn.Module, TileNetwork],
    images: Tensor,
    tile: Union[str, int, None] = 'auto',
    overlap: Optional[int] = None,
    memory_budget: Optional[int] = None,
    self_ensemble: bool = False,
    precision: Optional[str] = None,
    batch: int = 1,
    progress: Optional[Callable[[int, int], None]] = None,
) -> Tensor:
    """Restore images of any size.

    The memory of a tile is estimated from the shapes of the network before the first tile runs.
    One copy of the images and one copy of the results are kept on the device of the images.

    Some restorers average over the image (channel attention) or cut it into patches (MPRNet,
    DMPHN). With tiles, they average over a tile or cut the tile into patches. With the default
    overlap, tiling changed the PSNR by 0.001 dB (NAFNet), 0.014 dB (MPRNet) and less than 0.001 dB
    (MPRNet with ``split_patches=False``).

    Args:
        model: A ``SemanticPriorDeblurrer``, another model with a ``generator``, or a generator. It
            must be in evaluation mode and already on the device to use. To compile the restorer,
            wrap the model in a :class:`~mmspd.models.tiling.network.TileNetwork`. If ``tile`` is a
            number, a compiled network pads smaller images to this size, so it is compiled only
            once.
        images: Blurry images ``(N, 3, H, W)``, RGB, [0, 1], on any device. Images on the CPU may be
            larger than the memory of the model's device.
        tile: Largest side of the tiles in pixels. ``'auto'`` chooses the whole image if it fits
            into the budget, and otherwise the largest tiles that fit. ``None`` or 0 restores all
            images at once, without tiles. Tiled images are restored one after the other.
        overlap: Smallest overlap of neighboring tiles in pixels. The tiles are blended over the
            overlap. The default is 128, or a quarter of ``tile`` if that is less.
        memory_budget: Largest memory in bytes that this process may use on the device of the model,
            including the weights. The default is the memory in use plus 70 % of the free memory.
        self_ensemble: Average the results of all eight flips and quarter turns of the image, which
            takes eight times as long. The prior is computed again for each orientation.
        precision: One of ``mmspd.utils.precision.PRECISIONS``. ``None`` uses the dtype of the
            surrounding autocast and PyTorch's settings of TF32.
        batch: Largest number of tiles that are restored at a time. If the prior of the whole image
            is too large for the memory, the tiles are restored one by one.
        progress: Function that is called after each tile with the number of finished tiles and the
            number of all tiles.

    Returns:
        The restored images ``(N, 3, H, W)``, float32, on the device of ``images``. Values may
        slightly exceed [0, 1].

    Raises:
        UserError: An argument is invalid, or the memory does not suffice.

    Examples:
        >>> import torch
        >>> from mmspd.models.restorers import UNet
        >>> from mmspd.models.tiling import restore_images
        >>> model = UNet(base=4, num_res=1).eval()
        >>> restore_images(model, torch.rand(1, 3, 100, 150), tile=64, overlap=16).shape
        torch.Size([1, 3, 100, 150])
    """
    if images.dim() != 4 or images.shape[1] != 3:
        raise UserError(
            f'restore_images got a tensor of shape {tuple(images.shape)}; pass images of shape '
            '(N, 3, H, W).'
        )
    if batch < 1:
        raise UsageError(f'batch={batch} is invalid; use 1 or more.')
    net = model if isinstance(model, TileNetwork) else TileNetwork(model)
    if tile and len(images) > 1:
        options = (tile, overlap, memory_budget, self_ensemble, precision, batch, progress)
        return torch.cat([restore_images(net, image, *options) for image in images.split(1)])
    height, width = images.shape[-2:]
    tile, overlap = _check_tiles(tile, overlap, net.multiple, net.smallest)
    # all tiles of a compiled network have the same size
    fixed = tile if net.is_compiled and isinstance(tile, int) else 0
    if min(height, width) < fixed:
        images = pad_to(images, max(height, fixed), max(width, fixed), net.padding)
    restored = torch.zeros(images.shape, device=images.device)
    views = [_View(images, one) for one in ORIENTATIONS[: 8 if self_ensemble else 1]]
    if tile is None:
        plans = [Plan.whole(view.size) for view in views]
    else:
        free = _free_bytes(net.device, memory_budget)
        free -= restored.nbytes if net.device == images.device else 0
        plans = [
            choose_tiles(net, view.size, tile, overlap, free, batch, shrink=not fixed)
            for view in views
        ]
    done, total = 0, sum(len(plan.rows) * len(plan.columns) for plan in plans)
    context = nullcontext() if precision is None else compute_in(net.device, precision)
    with torch.no_grad(), context, _explain_out_of_memory():
        for view, plan in zip(views, plans):
            for rows, columns, pixels in _restored_tiles(net, view, plan):
                pixels = view.orientation.undo(pixels).to(images.device)
                share = pixels / len(views) if len(views) > 1 else pixels
                restored[view.source(rows, columns)] += share
                del pixels, share  # free the memory before the next tile
                done += 1
                if progress is not None:
                    progress(done, total)
    return crop_to(restored, height, width)


def _check_tiles(
    tile: Union[str, int, None], overlap: Optional[int], multiple: int, smallest: int
) -> Tuple[Union[str, int, None], int]:
    """Check ``tile`` and ``overlap``, and round them to the multiple of the network.

    Returns:
        The side of the tiles (``None`` without tiles) and the overlap.
    """
    if tile is None or tile == 0:
        return None, 0
    if tile != 'auto':
        if isinstance(tile, str) or tile < 2 * smallest:
            raise UsageError(
                f"tile={tile!r} is invalid; use 'auto', 0 for the whole image, or for this model "
                f'at least {2 * smallest} pixels.'
            )
        tile = tile // multiple * multiple
    if overlap is None:
        overlap = min(OVERLAP, tile // 4) if isinstance(tile, int) else OVERLAP
    largest = tile // 2 if isinstance(tile, int) else overlap + multiple
    if not 0 <= overlap <= round_up(overlap, multiple) <= largest:
        most = f'to {largest // multiple * multiple}' if isinstance(tile, int) else 'or more'
        raise UsageError(f'overlap={overlap} is invalid; use 0 {most} pixels.')
    return tile, round_up(overlap, multiple)


def _free_bytes(device: torch.device, memory_budget: Optional[int]) -> int:
    """Return the number of bytes that tiling may still use on the device."""
    if memory_budget is None:
        return int(FREE_SHARE * free_memory(device))
    return memory_budget - held_memory(device)


@contextmanager
def _explain_out_of_memory() -> Iterator[None]:
    """Turn an out-of-memory error of the accelerator into a user error."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise UserError(
            'The device ran out of memory; set a smaller tile (tile=512), a smaller memory_budget, '
            "or precision='bfloat16'."
        ) from error


def _restored_tiles(
    net: TileNetwork, view: _View, plan: Plan
) -> Iterator[Tuple[Span, Span, Tensor]]:
    """Restore the tiles of a view, and yield the rows, columns and weighted pixels of each tile.

    A single tile has the weight 1 everywhere, so its weights are not computed.
    """
    prior = None
    if plan.whole_prior:
        prior = net.compute_prior(net.load(view.part(*(Span(0, side) for side in view.size))))
    if len(plan.rows) == len(plan.columns) == 1:
        rows, columns = plan.rows[0], plan.columns[0]
        (pixels,) = _restore_tiles(net, view, [(rows, columns)], prior)
        yield rows, columns, crop_to(pixels, rows.stop, columns.stop)
        return
    row_weights = dict(zip(plan.rows, fades(plan.rows)))
    column_weights = dict(zip(plan.columns, fades(plan.columns)))
    for places in _batches(plan):
        for (rows, columns), pixels in zip(places, _restore_tiles(net, view, places, prior)):
            weights = torch.from_numpy(row_weights[rows][:, None] * column_weights[columns])
            yield rows, columns, crop_to(pixels, *weights.shape) * weights.to(pixels.device)
        del pixels  # free the memory before the next tiles


def _batches(plan: Plan) -> Iterator[List[Tuple[Span, Span]]]:
    """Yield lists of tiles to restore together; the tiles of a list have the same size."""

    def size(place: Tuple[Span, Span]) -> List[int]:
        return [stop - start for start, stop in place]

    places = sorted(itertools.product(plan.rows, plan.columns), key=size, reverse=True)
    for _, group in itertools.groupby(places, size):
        alike = list(group)
        for start in range(0, len(alike), plan.batch):
            yield alike[start : start + plan.batch]


def _restore_tiles(
    net: TileNetwork,
    view: _View,
    places: Sequence[Tuple[Span, Span]],
    prior: Optional[List[Tensor]],
) -> Sequence[Tensor]:
    """Restore tiles of the same size.

    ``prior`` is the prior of the whole image. If it is None and the generator is guided, ``places``
    has only one tile. The prior is then computed from this tile and a margin around it.

    Returns:
        For each tile, a tensor ``(N, 3, h, w)`` in float32. h and w may include padding.
    """
    loaded = [_load_tile(net, view, *place, prior) for place in places]
    img, rows, columns, own = loaded[0]
    if len(loaded) > 1:
        img = torch.cat([each for each, *_ in loaded])
        own = own and [torch.cat(level) for level in zip(*(each for *_, each in loaded))]
    return net.restore_tile(img, rows, columns, own).float().chunk(len(loaded))


def _load_tile(
    net: TileNetwork, view: _View, rows: Span, columns: Span, prior: Optional[List[Tensor]]
) -> Tuple[Tensor, Span, Span, Optional[List[Tensor]]]:
    """Load a tile, and crop the prior to the tile.

    If ``prior`` is None, the loaded image includes a margin around the tile.

    Returns:
        An image, the rows and columns of the tile in this image, and the prior of the tile or None.
    """
    margin = net.surroundings if prior is None else 0
    height, width = view.size
    wide_rows, inner_rows = _widen(rows, height, margin)
    wide_columns, inner_columns = _widen(columns, width, margin)
    img = net.load(view.part(wide_rows, wide_columns))
    own = None if prior is None else net.crop(prior, rows, columns)
    return img, inner_rows, inner_columns, own


def _widen(span: Span, length: int, margin: int) -> Tuple[Span, Span]:
    """Widen a span by a margin at both ends, but not beyond the axis.

    Returns:
        The wide span, and the position of the original span in the wide span.
    """
    wide = Span(max(0, span.start - margin), min(length, span.stop + margin))
    return wide, Span(span.start - wide.start, span.stop - wide.start)
