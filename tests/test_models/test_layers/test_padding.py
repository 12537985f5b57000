import numpy as np
import pytest
import torch

from mmspd.models.layers.padding import crop_to, pad_to_multiple


@pytest.mark.parametrize('size', [(9, 12), (16, 16), (10, 31), (5, 8)])
def test_long_sides_are_reflected(size):
    img = torch.rand(1, 2, *size)
    height, width = (-(-side // 4) * 4 for side in size)
    padding = [(0, 0), (0, 0), (0, height - size[0]), (0, width - size[1])]
    want = np.pad(img.numpy(), padding, mode='reflect')
    assert np.array_equal(pad_to_multiple(img, 4).numpy(), want)


def test_short_sides_are_reflected_and_then_replicated():
    img = torch.tensor([1.0, 2.0, 3.0]).view(1, 1, 1, 3)
    assert pad_to_multiple(img, 8)[0, 0, 0].tolist() == [1, 2, 3, 2, 1, 1, 1, 1]
    assert pad_to_multiple(img, 8).shape == (1, 1, 8, 8)


@pytest.mark.parametrize('size', [(9, 12), (2, 31)])
def test_edges_are_repeated(size):
    img = torch.rand(1, 2, *size)
    height, width = (-(-side // 16) * 16 for side in size)
    padding = [(0, 0), (0, 0), (0, height - size[0]), (0, width - size[1])]
    want = np.pad(img.numpy(), padding, mode='edge')
    assert np.array_equal(pad_to_multiple(img, 16, 'edge').numpy(), want)


def test_an_image_without_padding_is_not_copied():
    img = torch.rand(1, 3, 8, 16)
    assert pad_to_multiple(img, 8) is img


@pytest.mark.parametrize('scale', [1, 2, 4])
def test_crop_undoes_the_padding(scale):
    img = torch.rand(1, 3, 13, 22)
    small = pad_to_multiple(img, 8)[..., ::scale, ::scale]
    cropped = crop_to(small, 13, 22, scale)
    assert cropped.shape[-2:] == (-(-13 // scale), -(-22 // scale))
    assert torch.equal(cropped, img[..., ::scale, ::scale])


@pytest.mark.slow
def test_exports_with_dynamic_sizes():
    """No Python branch depends on the size, so one graph works for any size."""

    class Pad(torch.nn.Module):
        def forward(self, x):
            return pad_to_multiple(x, 8)

    rows, columns = torch.export.Dim('rows', min=2, max=512), torch.export.Dim('columns', min=2)
    exported = torch.export.export(
        Pad(), (torch.rand(1, 3, 13, 22),), dynamic_shapes=({2: rows, 3: columns},)
    ).module()
    for size in ((16, 16), (9, 70), (3, 5)):
        img = torch.rand(1, 3, *size)
        assert torch.equal(exported(img), pad_to_multiple(img, 8))
