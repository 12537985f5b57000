import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmspd.models.layers.shape_inference import peak_memory, shapes_only


class Wide(nn.Module):
    """Two convolutions; the result of the first is freed after the second."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 2, 1)

    def forward(self, img):
        return self.second(self.first(img)).relu()


def test_counts_tensors_alive_and_the_copies_of_convolutions():
    def run():
        Wide.forward(net, torch.empty(1, 3, 10, 10, device='meta'))

    net = Wide()
    # the image, input and output of the second convolution, and the copies of these two
    assert peak_memory(net, run) == (3 + 8 + 2 + 8 + 2) * 100 * 4


def test_grows_with_the_image_without_computing():
    net = nn.Conv2d(3, 64, 3)

    def cost(side):
        return peak_memory(net, lambda: net(torch.empty(1, 3, side, side, device='meta')))

    assert cost(200_000) > 64 * 4 * 190_000**2  # 10 TB
    assert cost(32) < cost(64)
    assert net.weight.device.type == 'cpu'


@pytest.mark.parametrize(
    'operation',
    [
        lambda x: x + x[:, :, :1],
        lambda x: x[0] - 2 * x[:, :1],
        lambda x: 1 / x,
        lambda x: x * torch.ones((), dtype=torch.float64, device=x.device),
        lambda x: x + torch.ones(5, dtype=torch.float64, device=x.device),
        lambda x: x * torch.ones(4, 1, dtype=torch.long, device=x.device),
        lambda x: (x > 0) + (x < 1),
        lambda x: torch.add(x, x[..., 0:1], alpha=2),
        lambda x: torch.ones(3, 1, device=x.device) * x[0, 0, 0],
        lambda x: F.interpolate(x, size=(7, 3), mode='bilinear'),
        lambda x: F.batch_norm(x, None, None, training=True),
        lambda x: F.batch_norm(x, x[0, :, 0, 0], x[1, :, 0, 0]),
        lambda x: F.relu(x).sigmoid().square().sqrt().clamp(min=0),
    ],
)
def test_shapes_and_dtypes_are_those_of_a_computation(operation):
    x = torch.rand(2, 3, 4, 5)
    expected = operation(x)
    with shapes_only(nn.Identity()):
        found = operation(torch.empty_like(x, device='meta'))
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
