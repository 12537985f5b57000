"""Positions and blending weights of the tiles of an image."""

from typing import List, NamedTuple

import numpy as np

from mmspd.models.layers.padding import round_up

__all__ = ['Span', 'fades', 'spans']


class Span(NamedTuple):
    """A range of pixels along an axis.

    Attributes:
        start: The first pixel of the range.
        stop: The first pixel after the range.
    """

    start: int
    stop: int


def spans(length: int, tile: int, overlap: int, multiple: int, shrink: bool = True) -> List[Span]:
    """Cover an axis with the smallest number of overlapping tiles.

    Args:
        length: Length of the axis in pixels.
        tile: Largest length of a tile, a multiple of ``multiple``.
        overlap: Smallest overlap of neighbors, a multiple of ``multiple`` and less than ``tile``.
        multiple: Tiles start at multiples of this number.
        shrink: Make the tiles as short as their number allows. Otherwise the tiles are ``tile``
            pixels long and overlap more.

    Returns:
        The tiles in order. The last tile ends at ``length``. All tiles have the same length, a
        multiple of ``multiple``. Only the last tile may be shorter, by less than ``multiple``.

    Examples:
        >>> from mmspd.models.tiling.grid import spans
        >>> spans(20, tile=8, overlap=2, multiple=2)
        [Span(start=0, stop=8), Span(start=6, stop=14), Span(start=12, stop=20)]
    """
    if length <= tile:
        return [Span(0, length)]
    count = -(-(length - overlap) // (tile - overlap))
    if shrink:
        tile = round_up(-(-(length + (count - 1) * overlap) // count), multiple)
    starts = [round_up(i * (length - tile) // (count - 1), multiple) for i in range(count)]
    return [Span(start, min(start + tile, length)) for start in starts]


def fades(tiles: List[Span]) -> List[np.ndarray]:
    """Compute the blending weights of the tiles.

    The weights of all tiles sum to one at every pixel of the axis. Neighbors are blended over their
    overlap. At most two tiles have a positive weight at a pixel. If three tiles cover a pixel, only
    the middle tile has a positive weight.

    Args:
        tiles: The tiles that :func:`spans` returned.

    Returns:
        For each tile, float32 weights of shape ``(stop - start,)``.

    Examples:
        >>> from mmspd.models.tiling.grid import Span, fades
        >>> left, right = fades([Span(0, 4), Span(2, 6)])
        >>> left.round(2)
        array([1.  , 1.  , 0.85, 0.15], dtype=float32)
        >>> right.round(2)
        array([0.15, 0.85, 1.  , 1.  ], dtype=float32)
    """
    weights = [np.ones(tile.stop - tile.start, np.float32) for tile in tiles]
    for i, (left, right) in enumerate(zip(tiles, tiles[1:])):
        start, stop = right.start, left.stop
        if i > 0:
            start = max(start, tiles[i - 1].stop)
        if i + 2 < len(tiles):
            stop = min(stop, tiles[i + 2].start)
        centers = (np.arange(stop - start) + 0.5) / (stop - start)
        rise = (np.sin(centers * np.pi / 2) ** 2).astype(np.float32)
        weights[i][start - left.start : stop - left.start] = 1 - rise
        weights[i][stop - left.start :] = 0
        weights[i + 1][: start - right.start] = 0
        weights[i + 1][start - right.start : stop - right.start] = rise
    return weights
