"""Train a tiny distilled model on random pairs without a runner, for comparisons of its steps."""

import copy
from pathlib import Path

import torch
from mmagic.structures import DataSample
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from restorer_contract import randomize

from mmspd.registry import build_model

CONFIG = Path(__file__).parent / 'configs' / 'distilled.py'
SIDE = 32


def build(device, normalize=True, **changes):
    """Build the model of ``distilled.py`` without dropout; the same weights in every call.

    Args:
        device: Device of the model.
        normalize: Normalize the teacher's features over the batch.
        changes: Arguments of the model that replace those of the config.

    Returns:
        The model in training mode, with its teacher.
    """
    config = Config.fromfile(CONFIG)
    config.merge_from_dict({f'model.{key}': value for key, value in changes.items()})
    config.model.generator.restorer.dropout = 0.0
    config.model.prior_loss.normalize = normalize
    torch.manual_seed(0)
    model = randomize(build_model(config.model))
    model.init_weights()
    return model.to(device).train()


def batches(count, size=2):
    """Return random batches in the form of the data loader, on the CPU."""
    torch.manual_seed(1)
    images = torch.randint(256, (count, 2, size, 3, SIDE, SIDE), dtype=torch.uint8)
    return [
        dict(inputs=[*blurry], data_samples=[DataSample(gt_img=each) for each in sharp])
        for blurry, sharp in images
    ]


def optimizer(model, **wrapper):
    """Build an optimizer wrapper with SGD, by default for float32."""
    settings = dict(type='mmspd.OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
    return build_optim_wrapper(model, dict(settings, **wrapper))


def train(model, data, wrapper=None):
    """Train one step for each batch, and return the losses of each step as numbers."""
    wrapper = wrapper or optimizer(model)
    logs = [model.train_step(copy.deepcopy(batch), wrapper) for batch in data]
    return [{name: value.item() for name, value in log.items()} for log in logs]


def weights(model):
    """Return a copy of the trained weights as one vector in float64 on the CPU."""
    parameters = [p.detach().flatten() for p in model.parameters() if p.requires_grad]
    return torch.cat(parameters).cpu().double()


def check_equal_moves(start, one, other, allowed):
    """Fail if two trainings moved the weights differently.

    Args:
        start: Weights before the training.
        one: Weights after a training.
        other: Weights after another training.
        allowed: Largest difference, as a share of the move.
    """
    move = (other - start).norm()
    assert move > 1e-3 * start.norm(), 'the steps are too small for this comparison'
    assert (one - other).norm() <= allowed * move, ((one - other).norm() / move).item()
