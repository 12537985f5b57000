import itertools

import numpy as np
import pytest

from mmspd.models.tiling.grid import Span, fades, spans

CASES = [
    (length, tile, overlap, multiple)
    for length, (tile, overlap, multiple) in itertools.product(
        (1, 31, 32, 33, 64, 65, 100, 127, 250, 999),
        ((32, 0, 8), (32, 8, 8), (32, 16, 8), (64, 16, 4), (64, 32, 16), (96, 48, 16)),
    )
]


@pytest.mark.parametrize(('length', 'tile', 'overlap', 'multiple'), CASES)
def test_tiles_cover_the_axis_on_the_grid(length, tile, overlap, multiple):
    tiles = spans(length, tile, overlap, multiple)
    assert tiles[0].start == 0
    assert tiles[-1].stop == length
    assert all(stop - start <= tile for start, stop in tiles)
    assert all(start % multiple == 0 for start, _ in tiles)
    assert all(stop % multiple == 0 for _, stop in tiles[:-1])
    assert all(left.stop - right.start >= overlap for left, right in zip(tiles, tiles[1:]))
    # no tile more than needed
    assert len(tiles) == 1 or (len(tiles) - 1) * (tile - overlap) + overlap < length


@pytest.mark.parametrize(('length', 'tile', 'overlap', 'multiple'), CASES)
def test_the_weights_of_every_pixel_sum_to_one(length, tile, overlap, multiple):
    tiles = spans(length, tile, overlap, multiple)
    total, count = np.zeros(length, np.float32), np.zeros(length)
    for span, weights in zip(tiles, fades(tiles)):
        assert weights.shape == (span.stop - span.start,)
        assert weights.min() >= 0
        total[slice(*span)] += weights
        count[slice(*span)] += weights > 0
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert count.max() <= 2


@pytest.mark.parametrize(('length', 'tile', 'overlap', 'multiple'), CASES)
def test_tiles_of_a_stated_length(length, tile, overlap, multiple):
    tiles = spans(length, tile, overlap, multiple, shrink=False)
    assert len(tiles) == len(spans(length, tile, overlap, multiple))
    assert tiles[-1].stop == length
    assert all(start % multiple == 0 for start, _ in tiles)
    assert all(stop - start == tile for start, stop in tiles[:-1])
    if len(tiles) > 1:
        assert tile - multiple < length - tiles[-1].start <= tile
    assert all(left.stop - right.start >= overlap for left, right in zip(tiles, tiles[1:]))
    total = np.zeros(length)
    for span, weights in zip(tiles, fades(tiles)):
        total[slice(*span)] += weights
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_weights_fade_smoothly():
    left, right = fades([Span(0, 20), Span(10, 30)])
    assert left[:10].tolist() == right[10:].tolist() == [1] * 10
    np.testing.assert_allclose(left[10:], right[9::-1], atol=1e-7)
    assert (np.diff(right[:10]) > 0).all()
    assert right[0] < 0.01
