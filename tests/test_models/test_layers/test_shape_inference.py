import torch
from torch import nn

from mmspd.models.layers.shape_inference import peak_memory


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
