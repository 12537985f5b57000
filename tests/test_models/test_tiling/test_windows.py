"""Windows are images of their own, at the positions of HINet's evaluation."""

import itertools

import pytest
import torch
from restorer_contract import PRIOR, guide, randomize
from torch import nn

from mmspd.models.guided import as_list
from mmspd.models.restorers import HINet
from mmspd.models.tiling import restore_images, restore_windows
from mmspd.models.tiling.windows import window_spans


@pytest.mark.parametrize(
    ('length', 'starts'),
    [
        (720, [0, 232, 464]),
        (1280, [0, 256, 512, 768, 1024]),
        (680, [0, 212, 424]),
        (773, [0, 173, 346, 517]),
        (257, [0, 1]),
        (512, [0, 256]),
    ],
)
def test_positions_of_the_official_evaluation(length, starts):
    assert [tuple(span) for span in window_spans(length, 256)] == [(s, s + 256) for s in starts]


def test_a_short_side_has_one_window():
    for length in (1, 255, 256):
        assert [tuple(span) for span in window_spans(length, 256)] == [(0, length)]


class Mean(nn.Module):
    """Returns the mean of the image at every pixel."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, img):
        return img.mean((-2, -1), keepdim=True).expand(img.shape) * self.weight


def test_windows_are_averaged_where_they_overlap():
    images = torch.rand(2, 3, 20, 6)
    total, count = torch.zeros(2, 3, 20, 6), torch.zeros(20, 1)
    for start in (0, 6, 12):  # three windows of 8 rows and all columns
        total[..., start : start + 8, :] += images[..., start : start + 8, :].mean((2, 3), True)
        count[start : start + 8] += 1
    assert count.max() == 2
    torch.testing.assert_close(restore_windows(Mean().eval(), images, 8), total / count)


@pytest.fixture(params=['plain', 'guided'])
def network(request):
    torch.manual_seed(0)
    restorer = dict(type='mmspd.HINet', wf=4)
    guided = request.param == 'guided'
    return randomize(guide(restorer, prior=PRIOR) if guided else HINet(wf=4)).eval()


@torch.no_grad()
def test_each_window_is_a_forward_pass_of_its_own(network):
    img = torch.rand(1, 3, 40, 61)
    total, count = torch.zeros(img.shape), torch.zeros(40, 61)
    for top, left in itertools.product((0, 8), (0, 29)):
        part = (..., slice(top, top + 32), slice(left, left + 32))
        total[part] += as_list(network(img[part]))[-1]  # with the prior of the window
        count[part] += 1
    torch.testing.assert_close(restore_windows(network, img, 32), total / count)
    whole = as_list(network(img))[-1]
    assert (restore_windows(network, img, 32) - whole).abs().max() > 1e-4
    torch.testing.assert_close(restore_windows(network, img, 64), whole)


def test_self_ensemble_of_windows():
    network, img = HINet(wf=4).eval(), torch.rand(1, 3, 32, 64)
    ensemble = dict(self_ensemble=True)
    halves = [restore_images(network, part, tile=None, **ensemble) for part in img.chunk(2, -1)]
    torch.testing.assert_close(restore_windows(network, img, 32, **ensemble), torch.cat(halves, -1))
