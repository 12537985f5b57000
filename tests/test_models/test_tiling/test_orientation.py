import pytest
import torch

from mmspd.models.tiling.grid import Span
from mmspd.models.tiling.orientation import ORIENTATIONS

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
