import pytest
import torch

from mmspd.errors import UserError
from mmspd.models.tiling.grid import Span
from mmspd.models.tiling.orientation import ORIENTATIONS
from mmspd.registry import build_model

IMAGES = torch.rand(2, 3, 5, 8, generator=torch.manual_seed(0))


def test_all_eight_differ_and_are_undone():
    views = [one.apply(IMAGES) for one in ORIENTATIONS]
    assert len({tuple(view.flatten().tolist()) for view in views}) == 8
    assert torch.equal(views[0], IMAGES)
    for one, view in zip(ORIENTATIONS, views):
        assert tuple(view.shape[-2:]) == one.size((5, 8))
        assert torch.equal(one.undo(view), IMAGES)


@pytest.mark.parametrize('one', ORIENTATIONS)
def test_a_part_of_a_view_is_found_in_the_original(one):
    view, (rows, columns) = one.apply(IMAGES), (Span(1, 3), Span(2, 5))
    source = one.source(rows, columns, (5, 8))
    part = one.apply(IMAGES[(..., *source)])
    assert torch.equal(part, view[..., 1:3, 2:5])


def tiny_model(**kwargs):
    return build_model(
        dict(
            type='mmspd.SemanticPriorDeblurrer',
            generator=dict(type='mmspd.UNet', base=4, num_res=1),
            losses=dict(loss_pix=dict(type='mmagic.L1Loss')),
            **kwargs,
        )
    )


def test_the_deblurrer_averages_them_where_asked():
    torch.manual_seed(0)
    plain = tiny_model().eval()
    ensemble = tiny_model(test_cfg=dict(self_ensemble=True)).eval()
    ensemble.load_state_dict(plain.state_dict())
    with torch.no_grad():
        views = [one.undo(plain(one.apply(IMAGES), mode='tensor')) for one in ORIENTATIONS]
        found = [model.forward_inference(IMAGES).pred_img for model in (plain, ensemble)]
    want = plain.data_preprocessor.destruct(torch.stack(views).mean(0), None)
    torch.testing.assert_close(found[1], want, atol=1e-3, rtol=0)
    assert (found[0] - found[1]).abs().max() > 0.1


def test_a_misspelt_key_is_refused():
    with pytest.raises(UserError, match="test_cfg has the key 'self_ensembl'"):
        tiny_model(test_cfg=dict(self_ensembl=True))
