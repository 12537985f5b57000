"""Helpers for tests of distributed runs: a config without randomness, and a comparison of runs."""

import support
import torch

#: One step per epoch on the first four pairs, with whole images and no randomness.
ONE_STEP = (
    support.EMA
    + """
model['generator']['restorer']['dropout'] = 0.0
model['losses']['loss_pix']['loss_weight'] = 2.0
loader = train_dataloader
loader['batch_size'] = 4
loader['sampler']['shuffle'] = False
loader['dataset']['indices'] = 4
loader['dataset']['pipeline'] = val_dataloader['dataset']['pipeline']
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1.0))
param_scheduler = None
val_dataloader = val_evaluator = val_cfg = None
"""
)


def check_equal_runs(alone, together):
    """Fail if the checkpoints of two runs of ``ONE_STEP`` differ.

    Args:
        alone: Work folder of a run in one process.
        together: Work folder of a distributed run.
    """
    one, two = (
        [torch.load(folder / f'epoch_{epoch}.pth', map_location='cpu') for epoch in (1, 2)]
        for folder in (alone, together)
    )
    for want, got in zip(one, two):
        for part in ('state_dict', 'ema_state_dict'):
            for key, weight in want[part].items():
                torch.testing.assert_close(got[part][key], weight, rtol=0, atol=1e-5)
    moved = [
        (one[1]['state_dict'][key] - weight).abs().max()
        for key, weight in one[0]['state_dict'].items()
    ]
    assert max(moved) > 1e-3, 'the steps are too small for this comparison'
