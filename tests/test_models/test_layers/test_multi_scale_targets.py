"""Targets of multi-scale restorers, compared with the libraries that the official codes call."""

import numpy as np
import pytest
import torch
from skimage.transform import pyramid_gaussian

from mmspd.models.layers.multi_scale_targets import gaussian_half, get_multi_scale_targets


def images(height, width, dtype=torch.float64):
    generator = torch.Generator().manual_seed(height * 100 + width)
    return torch.rand(2, 3, height, width, dtype=dtype, generator=generator)


def like(batch, *sizes):
    return [batch.new_empty(2, 3, *size) for size in sizes]


@pytest.mark.parametrize('size', [(32, 48), (33, 46), (5, 8), (2, 3)])
@pytest.mark.parametrize('peak', [1, 255])
def test_gaussian_is_scikit_images(size, peak):
    """The borders are equal too, even if the image is smaller than the filter."""
    batch = images(*size) * peak
    sizes = [(-(-size[0] // k), -(-size[1] // k)) for k in (4, 2, 1)]
    got = get_multi_scale_targets('gaussian')(batch, like(batch, *sizes))
    for index, image in enumerate(batch):
        rows = image.permute(1, 2, 0).numpy()
        want = list(pyramid_gaussian(rows, max_layer=2, downscale=2, channel_axis=-1))
        for level, expected in zip(reversed(got), want):
            np.testing.assert_allclose(
                level[index].permute(1, 2, 0).numpy(), expected, rtol=0, atol=1e-12 * peak
            )


def test_gaussian_follows_the_order_of_the_outputs():
    batch = images(16, 24, torch.float32)
    small, large, again = get_multi_scale_targets('gaussian')(
        batch, like(batch, (4, 6), (16, 24), (4, 6))
    )
    assert large is batch
    assert torch.equal(small, gaussian_half(gaussian_half(batch)))
    assert torch.equal(again, small)


def test_gaussian_keeps_constants_and_precision():
    """Smoothing keeps a constant, and autocast does not round the targets."""
    flat = torch.full((1, 3, 9, 14), 0.7)
    torch.testing.assert_close(gaussian_half(flat), flat[..., :5, :7], rtol=0, atol=1e-6)
    batch = images(16, 24, torch.float32)
    with torch.autocast('cpu', torch.bfloat16):
        got = gaussian_half(batch)
    assert got.dtype == torch.float32
    assert torch.equal(got, gaussian_half(batch))


def test_gaussian_is_differentiable():
    batch = images(6, 9)[:1, :1].requires_grad_()
    assert torch.autograd.gradcheck(gaussian_half, batch)


@pytest.mark.parametrize('size', [(6, 12), (40, 24), (12, 13)])
def test_gaussian_makes_halves_only(size):
    batch = images(20, 24)
    message = rf'of the sizes \(20, 24\).*output of \({size[0]}, {size[1]}\)'
    with pytest.raises(ValueError, match=message):
        get_multi_scale_targets('gaussian')(batch, like(batch, size))
