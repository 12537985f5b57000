import numpy as np
import pytest
import torch

from mmspd.visualization.pictures import gain_window, picture_row, stack_rows, to_uint8


def test_to_uint8_clamps_and_rounds():
    img = torch.tensor([-0.2, 0.1, 1.3]).view(3, 1, 1)
    assert to_uint8(img).tolist() == [[[0, 26, 255]]]


def test_rows_and_sheets():
    images = [np.full((10, 20, 3), value, np.uint8) for value in (10, 200)]
    row = picture_row(images, ['one', 'two'])
    assert row.shape == (10 + 22, 20 + 4 + 20, 3)
    assert (row[22:, :20] == 10).all()
    assert (row[22:, 24:] == 200).all()
    sheet = stack_rows([row, picture_row(images[:1], ['one'])])
    assert sheet.shape == (2 * (32 + 4), 44, 3)
    assert (sheet[36:68, 20:] == 255).all()


@pytest.mark.parametrize('with_sharp', [True, False])
def test_the_window_is_where_the_second_image_is_better(with_sharp):
    sharp = np.full((40, 60, 3), 100, np.uint8)
    before, after = sharp.copy(), sharp.copy()
    before[10:18, 40:48] = 180  # the second image removes this error
    after[25:33, 5:13] = 170  # the second image adds this smaller error
    rows, columns = gain_window(before, after, sharp if with_sharp else None, 8)
    assert (rows, columns) == (slice(10, 18), slice(40, 48))
    if with_sharp:
        rows, columns = gain_window(after, before, sharp, 8)
        assert (rows, columns) == (slice(25, 33), slice(5, 13))


def test_the_window_may_be_as_high_as_the_image_and_at_its_end():
    image, other = np.zeros((8, 12, 3), np.uint8), np.zeros((8, 12, 3), np.uint8)
    other[7, 11] = 255
    assert gain_window(other, image, image, 8) == (slice(0, 8), slice(4, 12))
