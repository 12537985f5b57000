"""Where the tiles of an image lie, and how they fade into each other."""

from typing import List, NamedTuple

import numpy as np

from mmspd.models.layers.padding import round_up

__all__ = ['Span', 'fades', 'spans']


class Span(NamedTuple):
    """Pixels from ``start`` to ``stop`` along an axis."""

    start: int
    stop: int


def spans(length: int, tile: int, overlap: int, multiple: int, shrink: bool = True) -> List[Span]:
    """Cover an axis by as few overlapping tiles as can be, of equal length but for the last.

    Args:
        length: pixels of the axis.
        tile: longest tile, a multiple of ``multiple``.
        overlap: how far neighbors overlap at least, likewise; below ``tile``.
        multiple: tiles start at multiples of it.
        shrink: make the tiles as short as their number allows; without it they are ``tile`` long
            and overlap by more.

    Returns:
        The tiles in order; the last one ends at ``length`` and may be shorter by less than
        ``multiple``. The others are multiples of ``multiple`` long.
    """
    if length <= tile:
        return [Span(0, length)]
    count = -(-(length - overlap) // (tile - overlap))
    if shrink:
        tile = round_up(-(-(length + (count - 1) * overlap) // count), multiple)
    starts = [round_up(i * (length - tile) // (count - 1), multiple) for i in range(count)]
    return [Span(start, min(start + tile, length)) for start in starts]


def fades(tiles: List[Span]) -> List[np.ndarray]:
    """Weights of the pixels of each tile, which sum to one at every pixel of the axis.

    Neighbors fade into each other over their overlap. A pixel belongs to two tiles at most;
    where three reach it, the outer one has weight zero.

    Args:
        tiles: what :func:`spans` returned.

    Returns:
        For each tile, float32 weights of shape ``(stop - start,)``.
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
