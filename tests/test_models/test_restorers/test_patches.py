"""Networks that run on the patches of an image."""

import pytest
import torch

from mmspd.models.restorers.patches import COLUMNS, ROWS, join, run_on_patches, split


@pytest.mark.parametrize(('grad', 'sizes'), [(True, [8]), (False, [2, 2, 2, 2])])
def test_inference_on_a_cpu_takes_one_patch_after_another(grad, sizes):
    images = torch.rand(2, 3, 8, 12)
    quadrants = split(split(images, ROWS), COLUMNS)
    seen = []

    def network(batch):
        seen.append(len(batch))
        return [2 * batch, batch.mean(1, keepdim=True)]

    with torch.set_grad_enabled(grad):
        double, gray = run_on_patches(network, quadrants, 4)
        triple = run_on_patches(lambda batch: 3 * batch, quadrants, 4)
    assert seen == sizes
    assert torch.equal(join(join(double, COLUMNS), ROWS), 2 * images)
    assert torch.equal(join(join(triple, COLUMNS), ROWS), 3 * images)
    assert gray.shape == (8, 1, 4, 6)
