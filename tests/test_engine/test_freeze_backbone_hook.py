"""The backbone is frozen first; then it learns, and the averages of the optimizer start anew."""

import pytest
import torch

from mmspd.engine import FreezeBackboneHook
from mmspd.errors import UserError

FROZEN = 3  # iterations, one epoch
DEBLURGAN = f"""
model['generator'] = dict(type='mmspd.DeblurGANv2', backbone='MobileNetV2', num_filters=4)
model['losses'] = dict(loss_pix=dict(type='mmagic.L1Loss'))
default_hooks['freeze'] = dict(type='mmspd.FreezeBackboneHook', iterations={FROZEN})
"""


@pytest.mark.slow
def test_the_backbone_learns_after_the_frozen_iterations(make_runner, tmp_path):
    whole = make_runner(DEBLURGAN, work='whole')
    initial = {key: value.clone() for key, value in whole.model.named_parameters()}
    whole.train()
    start = str(tmp_path / 'whole' / 'epoch_1.pth')
    resumed = make_runner(DEBLURGAN, work='resumed', resume=True, load_from=start)
    resumed.train()
    saved = [
        torch.load(tmp_path / path, weights_only=True)
        for path in ('whole/epoch_1.pth', 'whole/epoch_2.pth', 'resumed/epoch_2.pth')
    ]
    weights = [each['state_dict'] for each in saved]
    backbone = [key for key in initial if '.features.' in key and '.16.' not in key]
    assert all(torch.equal(weights[0][key], initial[key]) for key in backbone)
    assert not torch.equal(weights[0]['generator.final.weight'], initial['generator.final.weight'])
    key = 'generator.fpn.features.3.conv.0.weight'
    assert not torch.equal(weights[1][key], initial[key])
    unused = 'generator.fpn.features.17.conv.0.weight'
    assert torch.equal(weights[1][unused], initial[unused])
    assert all(torch.equal(weights[1][key], weights[2][key]) for key in weights[1])
    steps = {state['step'].item() for state in saved[1]['optimizer']['state'].values()}
    assert steps == {6 - FROZEN}


def test_a_model_without_a_backbone_is_refused(make_runner):
    with pytest.raises(UserError, match='found no restorer with a backbone.*; remove this hook'):
        FreezeBackboneHook(iterations=1).before_train(make_runner())
