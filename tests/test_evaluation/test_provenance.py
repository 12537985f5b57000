"""The provenance states in which precision the network computed."""

import pytest
import torch

from mmspd.evaluation import provenance
from mmspd.evaluation.provenance import make_provenance

REMARK = 'float32 (convolutions in TF32 where the device has it)'


@pytest.mark.slow
@pytest.mark.parametrize(
    ('stated', 'setting', 'recorded'),
    [
        (None, False, 'float32'),
        (None, True, REMARK),  # a run without ConvolutionHook
        ('tf32', False, REMARK),
        ('bfloat16', True, 'bfloat16'),
    ],
)
def test_tf32_on_an_accelerator_is_recorded(make_runner, monkeypatch, stated, setting, recorded):
    """The meta device imitates the accelerator."""
    runner = make_runner(**{'model.test_cfg': dict(precision=stated)})
    runner._test_loop = runner.build_test_loop(runner._test_loop)
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', setting)
    monkeypatch.setattr(provenance, 'describe_machine', lambda device: {})
    on_cpu = 'bfloat16' if stated == 'bfloat16' else 'float32'
    assert make_provenance(runner, [])['precision'] == on_cpu
    runner.model.to('meta')
    assert make_provenance(runner, [])['precision'] == recorded
