"""Resizing and SAME padding of TensorFlow 1, compared with explicit loops."""

import math

import numpy as np
import pytest
import torch

from mmspd.models.layers.tf1 import SameConv2d, resize_bilinear, same_padding


def loops_resize(image, height, width):
    """Bilinear resize with ``align_corners=False`` and without half-pixel centers."""
    rows, columns = image.shape
    result = np.empty((height, width))
    for i in range(height):
        for j in range(width):
            y, x = i * rows / height, j * columns / width
            top, left = math.floor(y), math.floor(x)
            bottom, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
            upper = image[top, left] + (image[top, right] - image[top, left]) * (x - left)
            lower = image[bottom, left] + (image[bottom, right] - image[bottom, left]) * (x - left)
            result[i, j] = upper + (lower - upper) * (y - top)
    return result


def loops_conv(image, kernel, stride):
    """One-channel SAME convolution; the window of output i starts at i * stride - padding."""
    (rows, columns), side = image.shape, len(kernel)
    size = [math.ceil(length / stride) for length in image.shape]
    start = [
        max((out - 1) * stride + side - length, 0) // 2 for out, length in zip(size, image.shape)
    ]
    result = np.zeros(size)
    for i, j, u, v in np.ndindex(*size, side, side):
        y, x = i * stride - start[0] + u, j * stride - start[1] + v
        if 0 <= y < rows and 0 <= x < columns:
            result[i, j] += image[y, x] * kernel[u, v]
    return result


@pytest.mark.parametrize('new', [(4, 6), (2, 3), (16, 24), (8, 12), (5, 7), (11, 30), (1, 1)])
def test_resize_is_the_explicit_loops(new):
    image = np.random.default_rng(0).random((8, 12))
    got = resize_bilinear(torch.from_numpy(image)[None, None], *new)[0, 0].numpy()
    np.testing.assert_allclose(got, loops_resize(image, *new), rtol=0, atol=1e-14)


def test_resize_is_differentiable_and_keeps_the_type():
    x = torch.rand(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: resize_bilinear(x, 8, 3), x)
    small = torch.rand(1, 3, 8, 8).bfloat16()
    assert torch.equal(resize_bilinear(small, 4, 4), small[..., ::2, ::2])
    between = resize_bilinear(small, 16, 16)[0, 0, 0, 1]
    assert between.dtype == torch.bfloat16
    assert between.item() == pytest.approx(small[0, 0, 0, :2].float().mean().item(), abs=2**-8)


@pytest.mark.parametrize(
    ('size', 'kernel_size', 'stride', 'padding'),
    [
        (64, 5, 2, (1, 2)),
        (64, 3, 2, (0, 1)),
        (63, 5, 2, (2, 2)),
        (63, 3, 2, (1, 1)),
        (64, 5, 1, (2, 2)),
        (64, 1, 2, (0, 0)),
        (7, 4, 3, (1, 2)),
        (64, 4, 1, (1, 2)),
    ],
)
def test_same_padding(size, kernel_size, stride, padding):
    assert same_padding(size, kernel_size, stride) == padding


@pytest.mark.parametrize('size', [(8, 12), (9, 8), (7, 11)])
@pytest.mark.parametrize(('kernel_size', 'stride'), [(5, 2), (3, 2), (5, 1), (3, 1), (4, 3)])
def test_convolution_is_the_explicit_loops(size, kernel_size, stride):
    image = torch.rand(1, 1, *size, dtype=torch.float64)
    conv = SameConv2d(1, 1, kernel_size, stride).double()
    with torch.no_grad():
        got = (conv(image) - conv.bias)[0, 0].numpy()
    kernel = conv.weight.detach()[0, 0].numpy()
    want = loops_conv(image[0, 0].numpy(), kernel, stride)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-14)
