import pytest
import torch

from mmspd.errors import UserError
from mmspd.models.self_ensemble import self_ensemble
from mmspd.registry import build_model

IMAGES = torch.rand(2, 3, 5, 8, generator=torch.manual_seed(0))


def test_a_network_that_sees_all_sides_alike_is_unchanged():
    torch.testing.assert_close(self_ensemble(lambda image: 2 * image, IMAGES), 2 * IMAGES)


def test_every_side_is_seen_once_and_turned_back():
    seen = []

    def mark_a_corner(image):
        seen.append(image)
        marks = torch.zeros_like(image)
        marks[..., 0, 1] = 1
        return marks

    found = self_ensemble(mark_a_corner, IMAGES)
    assert len({tuple(image.flatten().tolist()) for image in seen}) == 8
    # the mark lies beside each corner, along either side, in an eighth of the views each
    expected = torch.zeros(5, 8)
    for row, column in ((0, 1), (1, 0)):
        for mark in torch.cartesian_prod(
            torch.tensor([row, 4 - row]), torch.tensor([column, 7 - column])
        ):
            expected[tuple(mark)] = 1 / 8
    torch.testing.assert_close(found, expected.expand_as(found))


def tiny_model(**kwargs):
    return build_model(
        dict(
            type='mmspd.SemanticPriorDeblurrer',
            generator=dict(type='mmspd.UNet', base=4, num_res=1),
            losses=dict(loss_pix=dict(type='mmagic.L1Loss')),
            **kwargs,
        )
    )


def test_the_deblurrer_predicts_by_it_where_asked():
    torch.manual_seed(0)
    plain = tiny_model().eval()
    turned = tiny_model(test_cfg=dict(self_ensemble=True)).eval()
    turned.load_state_dict(plain.state_dict())
    with torch.no_grad():
        views = self_ensemble(lambda view: plain(view, mode='tensor'), IMAGES)
        found = [model.forward_inference(IMAGES).pred_img for model in (plain, turned)]
    torch.testing.assert_close(found[1], plain.data_preprocessor.destruct(views, None))
    assert (found[0] - found[1]).abs().max() > 0.1


def test_a_misspelt_key_is_refused():
    with pytest.raises(UserError, match="test_cfg has the key 'self_ensembl'"):
        tiny_model(test_cfg=dict(self_ensembl=True))
