import copy

import numpy as np
import pytest
import torch
from restorer_contract import guide, image, randomize
from torch import nn

from mmspd.apis.export import Exportable, _LocalMean, export_graph
from mmspd.models.guided import as_list
from mmspd.registry import build_model

NAFNET = dict(
    type='mmagic.NAFNetLocal', train_size=(1, 3, 32, 32), img_channels=3, mid_channels=4,
    enc_blk_nums=[1], middle_blk_num=1, dec_blk_nums=[1],
)  # fmt: skip


@pytest.mark.parametrize('size', [(9, 11), (5, 9), (4, 4), (3, 1)])
def test_local_mean_is_that_of_the_nearest_window_within_the_image(size):
    x = image(*size, batch=2).double()
    rows, columns = (min(side, window) for side, window in zip(size, (4, 5)))
    want = np.empty(x.shape)
    for i in range(size[0]):
        for j in range(size[1]):
            top = min(max(i - (rows - 1) // 2, 0), size[0] - rows)
            left = min(max(j - (columns - 1) // 2, 0), size[1] - columns)
            want[..., i, j] = x[..., top : top + rows, left : left + columns].mean((-2, -1))
    np.testing.assert_allclose(_LocalMean((4, 5))(x).numpy(), want, rtol=0, atol=1e-12)


def test_one_graph_serves_sizes_on_both_sides_of_a_branch():
    """NAFNetLocal pools locally where the image is larger than its window of 48 pixels."""
    torch.manual_seed(0)
    network = randomize(guide(NAFNET, ['decoders.0'])).eval()
    graph = export_graph(Exportable(network)).module()
    with torch.no_grad():
        for size in ((20, 31), (35, 70), (80, 64), (97, 101)):
            want = as_list(network(image(*size)))[-1]
            assert (graph(image(*size)) - want).abs().max() < 1e-5


def test_network_stays_as_it_was():
    network = build_model(dict(type='mmspd.MIMOUNet', base=4, num_res=1, dropout=0.5)).train()
    keys = copy.deepcopy(network.state_dict())
    exportable = Exportable(network)
    assert not exportable.restorer.training
    assert exportable(image()).shape == image().shape
    assert network.training
    assert len(network(image())) == 3
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert keys.keys() == network.state_dict().keys()


def test_padding_comes_first_where_it_is_asked_for():
    class Multiples(nn.Module):
        def forward(self, x):
            assert x.shape[-2] % 8 == x.shape[-1] % 8 == 0
            return x * 2

    img = image(13, 21)
    assert torch.equal(Exportable(Multiples(), pad_to=8)(img), img * 2)
