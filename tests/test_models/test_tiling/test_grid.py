import itertools

import numpy as np

from mmspd.models.tiling.grid import Span, fades, spans

CASES = itertools.product(
    (1, 31, 32, 33, 64, 65, 100, 127, 250, 999),
    ((32, 0, 8), (32, 8, 8), (32, 16, 8), (64, 16, 4), (64, 32, 16), (96, 48, 16)),
    (True, False),
)


def test_tiles_cover_the_axis_on_the_grid_with_weights_that_sum_to_one():
    for length, (tile, overlap, multiple), shrink in CASES:
        tiles = spans(length, tile, overlap, multiple, shrink)
        assert tiles[0].start == 0
        assert tiles[-1].stop == length
        assert all(stop - start <= tile for start, stop in tiles)
        assert all(start % multiple == 0 for start, _ in tiles)
        assert all(stop % multiple == 0 for _, stop in tiles[:-1])
        assert all(left.stop - right.start >= overlap for left, right in zip(tiles, tiles[1:]))
        # one tile less would not cover the axis
        assert len(tiles) == 1 or (len(tiles) - 1) * (tile - overlap) + overlap < length
        if not shrink:
            assert all(stop - start == tile for start, stop in tiles[:-1])
            assert len(tiles) == 1 or tile - multiple < length - tiles[-1].start
        total, count = np.zeros(length, np.float32), np.zeros(length)
        for span, weights in zip(tiles, fades(tiles)):
            assert weights.shape == (span.stop - span.start,)
            assert weights.min() >= 0
            total[slice(*span)] += weights
            count[slice(*span)] += weights > 0
        np.testing.assert_allclose(total, 1, atol=1e-6)
        assert count.max() <= 2


def test_weights_fade_smoothly():
    left, right = fades([Span(0, 20), Span(10, 30)])
    assert left[:10].tolist() == right[10:].tolist() == [1] * 10
    np.testing.assert_allclose(left[10:], right[9::-1], atol=1e-7)
    assert (np.diff(right[:10]) > 0).all()
    assert right[0] < 0.01
