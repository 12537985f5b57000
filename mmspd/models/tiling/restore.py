"""Restoring an image of any size, whole or tile by tile."""

import itertools
import logging
from contextlib import contextmanager
from typing import Callable, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.models.padding import crop_to, pad_to, round_up
from mmspd.models.tiling.grid import Span, fades
from mmspd.models.tiling.network import TileNetwork
from mmspd.models.tiling.plan import Plan, choose_tiles
from mmspd.utils.memory import free_memory, held_memory
from mmspd.utils.precision import autocast

__all__ = ['restore']

OVERLAP = 128
FREE_SHARE = 0.7  # of the free memory is the budget where none is stated
# a blur moves light about within a few cells of so many pixels, so their means hardly change
CELL, MOST_CHANGE = 64, 0.3


def restore(
    model: Union[nn.Module, TileNetwork],
    image: Tensor,
    tile: Union[str, int, None] = 'auto',
    overlap: Optional[int] = None,
    memory_budget: Optional[int] = None,
    self_ensemble: bool = False,
    precision: str = 'float32',
    batch: int = 1,
    progress: Optional[Callable[[int, int], None]] = None,
) -> Tensor:
    """Restore one image of any size.

    What a tile takes is counted on the network's shapes beforehand, so that nothing has to fail
    first. The image and the result are held once each, on the CPU.

    Restorers that average over the image (channel attention) or cut it into patches (MPRNet,
    DMPHN) see the tile in its place. With the default overlap this changed the PSNR by 0.001 dB
    (NAFNet) and 0.014 dB (MPRNet; with its ``split_patches=False`` below 0.001 dB).

    Args:
        model: in evaluation mode, on its device: a ``SemanticPriorDeblurrer`` or another model
            with a ``generator``, or such a generator itself; or one of these as a
            :class:`~mmspd.models.tiling.network.TileNetwork`, which can be compiled. A compiled
            one restores all tiles at the size ``tile`` where that is a number, also those of
            smaller images, so that it is compiled once.
        image: blurry image ``(1, 3, H, W)``, RGB, [0, 1], float32, on the CPU.
        tile: ``'auto'`` for the whole image if it fits the budget, else the largest tiles that
            do; a number for tiles of at most so many pixels a side; ``None`` or 0 for the whole
            image.
        overlap: pixels that neighbouring tiles share at least and over which they fade into each
            other; by default 128, or a quarter of ``tile`` if that is less.
        memory_budget: bytes that this process may hold on the model's device, weights and all; by
            default what it holds already and 70 % of what is free.
        self_ensemble: average over the image's eight sides, at eight times the cost. The prior of
            each side is its own.
        precision: ``'float32'``; or ``'bfloat16'`` or ``'float16'``, by autocast.
        batch: how many tiles are restored at a time at most; one where the prior of the whole
            image does not fit the memory.
        progress: called after each tile with the number of tiles done and of all.

    Returns:
        The restored image ``(1, 3, H, W)``, about [0, 1], float32, on the CPU. A warning is logged
        where it is not finite or far from the input.

    Raises:
        UserError: an argument does not make sense, or the memory is not enough.
    """
    if image.dim() != 4 or image.shape[:2] != (1, 3):
        raise UserError(f'restore takes one image (1, 3, H, W), but got {tuple(image.shape)}.')
    if batch < 1:
        raise UserError(f'batch={batch} does not fit: use 1 or more.')
    net = model if isinstance(model, TileNetwork) else TileNetwork(model)
    height, width = image.shape[-2:]
    exact = net.compiled and tile not in ('auto', None, 0)
    tile, overlap = _check_tiles(tile, overlap, net.multiple, max(height, width))
    if exact and min(height, width) < tile:
        image = pad_to(image, max(height, tile), max(width, tile))
    source = image.numpy()
    restored = np.zeros(source.shape, np.float32)
    free = _free(net.device, memory_budget)
    if net.device.type == 'cpu':
        free -= restored.nbytes

    views = list(_sides(source, restored)) if self_ensemble else [(source, restored)]
    plans = [
        choose_tiles(net, view.shape[-2:], tile, overlap, free, batch, shrink=not exact)
        for view, _ in views
    ]
    done, total = 0, sum(len(plan.rows) * len(plan.columns) for plan in plans)
    with torch.no_grad(), autocast(net.device, precision), _out_of_memory_told():
        for (view, target), plan in zip(views, plans):
            for rows, columns, pixels in _restored_tiles(net, view, plan):
                part = target[..., slice(*rows), slice(*columns)]
                part += np.divide(pixels, len(views), out=pixels)
                del pixels  # before the next tile needs the memory
                done += 1
                if progress is not None:
                    progress(done, total)
    result = torch.from_numpy(restored)
    _warn_of_blow_up(image, result)
    return crop_to(result, height, width)


def _check_tiles(
    tile: Union[str, int, None], overlap: Optional[int], multiple: int, longest: int
) -> Tuple[Union[str, int], int]:
    """Check the two sizes and bring them to the network's multiple."""
    if tile in (None, 0):
        return longest, 0
    if tile != 'auto':
        if not isinstance(tile, int) or tile < 2 * multiple:
            raise UserError(
                f"tile={tile!r} does not fit: use 'auto', 0 for the whole image, or for this model "
                f'{2 * multiple} pixels or more.'
            )
        tile = tile // multiple * multiple
    if overlap is None:
        overlap = OVERLAP if tile == 'auto' else min(OVERLAP, tile // 4)
    if overlap < 0 or (tile != 'auto' and round_up(overlap, multiple) > tile // 2):
        raise UserError(f'overlap={overlap} does not fit: use 0 to half the size of a tile.')
    return tile, round_up(overlap, multiple)


def _free(device: torch.device, memory_budget: Optional[int]) -> int:
    """Bytes of the budget that are left on the device."""
    if memory_budget is None:
        return int(FREE_SHARE * free_memory(device))
    return memory_budget - held_memory(device)


@contextmanager
def _out_of_memory_told() -> Iterator[None]:
    """Turn the error of an accelerator without memory into a sentence."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise UserError(
            'The device ran out of memory: state a smaller tile (tile=512), a smaller '
            "memory_budget, or precision='bfloat16'."
        ) from error


def _sides(image: np.ndarray, target: np.ndarray) -> Iterator[Tuple[np.ndarray, np.ndarray]]:
    """The eight flips and turns of two images, without a copy: writing to one writes to all."""
    for step in (1, -1):
        for turns in range(4):
            yield tuple(
                np.rot90(array[..., ::step], turns, axes=(-2, -1)) for array in (image, target)
            )


def _restored_tiles(
    net: TileNetwork, image: np.ndarray, plan: Plan
) -> Iterator[Tuple[Span, Span, np.ndarray]]:
    """Restore the tiles of an image; yields their places and their pixels, weighted."""
    prior = net.compute_prior(net.load(image)) if plan.whole_prior else None
    row_weights = dict(zip(plan.rows, fades(plan.rows)))
    column_weights = dict(zip(plan.columns, fades(plan.columns)))
    for part in _batches(plan):
        for (rows, columns), pixels in zip(part, _restore_tiles(net, image, part, prior)):
            weights = row_weights[rows][:, None] * column_weights[columns]
            yield rows, columns, crop_to(pixels, *weights.shape) * weights
        del pixels  # before the next tiles need the memory


def _batches(plan: Plan) -> Iterator[List[Tuple[Span, Span]]]:
    """Group the places of tiles of one size; the last of a row and of a column may be smaller."""

    def size(place: Tuple[Span, Span]) -> List[int]:
        return [stop - start for start, stop in place]

    places = sorted(itertools.product(plan.rows, plan.columns), key=size, reverse=True)
    for _, group in itertools.groupby(places, size):
        alike = list(group)
        for start in range(0, len(alike), plan.batch):
            yield alike[start : start + plan.batch]


def _restore_tiles(
    net: TileNetwork,
    image: np.ndarray,
    places: Sequence[Tuple[Span, Span]],
    prior: Optional[List[Tensor]],
) -> np.ndarray:
    """Restore tiles of one size with the prior of the whole image; or one tile, with its own.

    Returns:
        ``(N, 3, h, w)`` in float32, where h and w may be padded.
    """
    loaded = [_load_tile(net, image, *place, prior) for place in places]
    img, rows, columns, own = loaded[0]
    if len(loaded) > 1:
        img = torch.cat([each for each, *_ in loaded])
        own = own and [torch.cat(level) for level in zip(*(each for *_, each in loaded))]
    return net.restore(img, rows, columns, own).float().cpu().numpy()


def _load_tile(
    net: TileNetwork, image: np.ndarray, rows: Span, columns: Span, prior: Optional[List[Tensor]]
) -> Tuple[Tensor, Span, Span, Optional[List[Tensor]]]:
    """Load a tile and its prior; or, where there is none yet, the tile and its surroundings.

    Returns:
        An image, the rows and columns of the tile in it, and the prior.
    """
    margin = net.surroundings if prior is None else 0
    wide_rows, inner_rows = _widen(rows, image.shape[-2], margin)
    wide_columns, inner_columns = _widen(columns, image.shape[-1], margin)
    img = net.load(image[..., slice(*wide_rows), slice(*wide_columns)])
    own = None if prior is None else net.crop(prior, rows, columns)
    return img, inner_rows, inner_columns, own


def _widen(span: Span, length: int, margin: int) -> Tuple[Span, Span]:
    """A span widened within an axis, and where it lies in the wider one."""
    wide = Span(max(0, span.start - margin), min(length, span.stop + margin))
    return wide, Span(span.start - wide.start, span.stop - wide.start)


def _warn_of_blow_up(image: Tensor, restored: Tensor) -> None:
    """Log a warning where the result has values that no deblurring gives."""
    cells = [-(-side // CELL) for side in image.shape[-2:]]
    before, after = (F.interpolate(x, size=cells, mode='area') for x in (image, restored))
    change = (after - before).abs().max().item()  # nan where any pixel is
    if not np.isfinite(change):
        found = 'has values that are not finite'
    elif change > MOST_CHANGE:
        found = f'is far from its input ({change:.2f} of the full range in some part)'
    else:
        return
    print_log(
        f"The restored image {found}. Try precision='float32', then another tile size, then a "
        'restorer without local pooling (NAFNet for NAFNetLocal); a wrong checkpoint does it too.',
        'current',
        logging.WARNING,
    )
