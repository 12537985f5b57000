"""No training step waits for the device, except where the log reads values."""

import pytest
import restorer_contract
import support
import torch

from mmspd.models.guided import as_list
from mmspd.utils.precision import autocast

pytestmark = pytest.mark.cuda

#: All losses of the package, clipping, averaged weights and prefetching, in bfloat16.
EVERYTHING = (
    support.EMA
    + """
optim_wrapper.update(type='mmspd.OptimWrapper', dtype='bfloat16', clip_grad=dict(max_norm=0.01))
model['losses'].update(
    loss_vgg=dict(type='mmspd.VGGLoss', weights='random'),
    loss_edge=dict(type='mmspd.EdgeLoss'),
    loss_imagenet=dict(type='mmspd.ImageNetMSELoss'),
)
default_hooks.update(prefetch=dict(type='mmspd.PrefetchHook'))
default_hooks['logger']['interval'] = 100
val_dataloader = val_evaluator = val_cfg = None
"""
)


@pytest.mark.parametrize('restorer', restorer_contract.tested_restorers())
def test_restorers_do_not_wait(device, restorer):
    network = restorer_contract.tested_restorers()[restorer]().build('guided').to(device)
    img = restorer_contract.image(32, 32).to(device)  # SwinIR makes masks for other sizes anew

    def step():
        with autocast(device, 'bfloat16'):
            outputs = as_list(network(img))
        sum(output.float().square().mean() for output in outputs).backward()

    step()  # the first step may copy constants to the device
    with support.no_waiting(device):
        step()


def test_training_steps_do_not_wait(device, make_runner):
    """The last step of an epoch reads the values of the log, and the first one copies the teacher.

    An epoch has three steps.
    """
    runner = make_runner(EVERYTHING, base='distilled')
    run_iter, watched = runner.train_loop.run_iter, []

    def run(number, batch):
        if number != 1:
            return run_iter(number, batch)
        watched.append(runner.iter)
        with support.no_waiting(device):
            run_iter(number, batch)

    runner.train_loop.run_iter = run
    runner.train()
    assert watched == [1, 4]
    assert next(runner.model.parameters()).device.type == device.type


@pytest.mark.parametrize(
    'read', [torch.Tensor.item, bool, torch.nonzero], ids=['item', 'bool', 'nonzero']
)
def test_an_operation_that_waits_is_seen(device, read):
    value = torch.ones(1, device=device)
    with pytest.raises((AssertionError, RuntimeError)), support.no_waiting(device):
        read(value)
