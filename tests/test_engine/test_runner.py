import pytest
import torch
from mmengine.config import Config
from mmengine.model import convert_sync_batchnorm
from timm.layers import BatchNormAct2d
from torch import distributed, nn

from mmspd.engine import runner
from mmspd.errors import UserError


def test_sync_bn_that_would_remove_activations_is_refused():
    plain = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU())
    runner._check_sync_bn(convert_sync_batchnorm(plain))
    runner._check_sync_bn(BatchNormAct2d(4))  # one process does not convert it
    with pytest.raises(UserError, match=r'would remove the activation in 0; remove sync_bn'):
        runner._check_sync_bn(convert_sync_batchnorm(nn.Sequential(BatchNormAct2d(4))))


@pytest.mark.skipif(torch.cuda.is_available(), reason='this machine has an accelerator')
def test_slurm_without_an_accelerator_is_refused():
    with pytest.raises(UserError, match='--launcher slurm needs an accelerator'):
        runner.build_runner(Config(dict(launcher='slurm')))


def test_a_process_group_is_left_and_gloo_ends_the_process(monkeypatch):
    codes = []
    monkeypatch.setattr(runner.os, '_exit', codes.append)
    monkeypatch.setattr(runner.logging, 'shutdown', lambda: None)  # other tests need their logs
    runner.leave_distributed()  # where there is no group, nothing happens
    assert codes == []
    distributed.init_process_group('gloo', store=distributed.HashStore(), rank=0, world_size=1)
    runner.leave_distributed()
    assert not distributed.is_initialized()
    assert codes == [0]
