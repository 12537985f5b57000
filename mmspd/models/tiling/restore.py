"""Restoring an image of any size, whole or tile by tile."""

import logging
from contextlib import contextmanager
from typing import Callable, Iterator, List, Optional, Tuple, Union

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.models.padding import crop_to, round_up
from mmspd.models.tiling.grid import Span, fades
from mmspd.models.tiling.network import TileNetwork
from mmspd.models.tiling.plan import Plan, choose_tiles
from mmspd.utils.memory import free_memory, held_memory

__all__ = ['restore']

PRECISIONS = {'float32': torch.float32, 'bfloat16': torch.bfloat16, 'float16': torch.float16}
OVERLAP = 128
FREE_SHARE = 0.7  # of the free memory is the budget where none is stated
# a blur moves light about within a few cells of so many pixels, so their means hardly change
CELL, MOST_CHANGE = 64, 0.3


def restore(
    model: nn.Module,
    image: Tensor,
    tile: Union[str, int, None] = 'auto',
    overlap: Optional[int] = None,
    memory_budget: Optional[int] = None,
    self_ensemble: bool = False,
    precision: str = 'float32',
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
            with a ``generator``, or such a generator itself.
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
        progress: called after each tile with the number of tiles done and of all.

    Returns:
        The restored image ``(1, 3, H, W)``, about [0, 1], float32, on the CPU. A warning is logged
        where it is not finite or far from the input.

    Raises:
        UserError: an argument does not make sense, or the memory is not enough.
    """
    if precision not in PRECISIONS:
        raise UserError(f'precision={precision!r} is unknown; use {", ".join(PRECISIONS)}.')
    if image.dim() != 4 or image.shape[:2] != (1, 3):
        raise UserError(f'restore takes one image (1, 3, H, W), but got {tuple(image.shape)}.')
    net = TileNetwork(model)
    tile, overlap = _check_tiles(tile, overlap, net.multiple, max(image.shape[-2:]))
    source = image.numpy()
    restored = np.zeros(source.shape, np.float32)
    free = _free(net.device, memory_budget)
    if net.device.type == 'cpu':
        free -= restored.nbytes

    views = list(_sides(source, restored)) if self_ensemble else [(source, restored)]
    plans = [choose_tiles(net, view.shape[-2:], tile, overlap, free) for view, _ in views]
    done, total = 0, sum(len(plan.rows) * len(plan.columns) for plan in plans)
    autocast = torch.autocast(
        net.device.type, PRECISIONS[precision], enabled=precision != 'float32'
    )
    with torch.no_grad(), autocast, _out_of_memory_told():
        for (view, target), plan in zip(views, plans):
            for rows, columns, pixels, weights in _restored_tiles(net, view, plan):
                part = target[..., slice(*rows), slice(*columns)]
                part += pixels * (weights / len(views))
                del pixels  # before the next tile needs the memory
                done += 1
                if progress is not None:
                    progress(done, total)
    result = torch.from_numpy(restored)
    _warn_of_blow_up(image, result)
    return result


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
) -> Iterator[Tuple[Span, Span, np.ndarray, np.ndarray]]:
    """Restore the tiles of an image; yields their places, their pixels and the pixels' weights."""
    prior = net.compute_prior(net.load(image)) if plan.whole_prior else None
    for rows, row_weights in zip(plan.rows, fades(plan.rows)):
        for columns, column_weights in zip(plan.columns, fades(plan.columns)):
            weights = row_weights[:, None] * column_weights
            yield rows, columns, _restore_tile(net, image, rows, columns, prior), weights


def _restore_tile(
    net: TileNetwork, image: np.ndarray, rows: Span, columns: Span, prior: Optional[List[Tensor]]
) -> np.ndarray:
    """Restore one tile, with the prior of the whole image or else that of its surroundings."""
    margin = net.surroundings if prior is None else 0
    wide_rows, inner_rows = _widen(rows, image.shape[-2], margin)
    wide_columns, inner_columns = _widen(columns, image.shape[-1], margin)
    img = net.load(image[..., slice(*wide_rows), slice(*wide_columns)])
    own = None if prior is None else net.crop(prior, rows, columns)
    restored = net.restore(img, inner_rows, inner_columns, own)
    restored = crop_to(restored, rows.stop - rows.start, columns.stop - columns.start)
    return restored.float().cpu().numpy()


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
