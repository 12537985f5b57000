"""A guided restorer takes the steps of its plain twin, although its recipe clips gradients."""

import copy
from pathlib import Path

import pytest
import torch
from mmagic.structures import DataSample
from mmengine.config import Config
from mmengine.optim import OptimWrapperDict, build_optim_wrapper
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmengine.registry import init_default_scope
from restorer_contract import EMBEDDING, PRIOR, make_small
from torch import nn

from mmspd.errors import UserError
from mmspd.registry import build_model

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'spd'
#: Plain recipes that clip gradients and have a guided twin.
CLIPPED = [
    path.stem
    for path in sorted(CONFIGS.glob('*_gopro.py'))
    if 'clip_grad' in path.read_text()
    and path.with_stem(path.stem.replace('_gopro', '_sp_gopro')).exists()
]
UNET = dict(type='mmspd.UNet', base=4, num_res=1)
GUIDED_UNET = dict(type='mmspd.SemanticGuided', restorer=UNET, prior=PRIOR, embedding=EMBEDDING)
CLIP = dict(max_norm=0.01)


class Features(nn.Module):
    """A teacher of the strides 2, 4 and 8 whose features need no network."""

    strides = (2, 4, 8)

    def forward(self, img):
        return tuple(
            nn.functional.avg_pool2d(img, stride).repeat(1, 2, 1, 1) for stride in self.strides
        )


@pytest.fixture
def pair():
    return torch.rand(2, 4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def recipe(name):
    """The small model of a recipe and its optimizer wrapper."""
    config = Config.fromfile(CONFIGS / f'{name}.py')
    init_default_scope(config.default_scope)
    generator = config.model.generator
    make_small(generator.get('restorer', generator))
    if 'teacher' in config.model:
        config.model.teacher.channels = (6, 6, 6)
    torch.manual_seed(0)
    model = build_model(config.model)
    if 'teacher' in config.model:
        model._teacher.get = lambda device: Features()
    return model, config.optim_wrapper


def step(wrapper, model, pair, parts=1):
    """Take one step of training on ``parts`` batches."""
    wrapper.initialize_count_status(model, 0, parts)
    for blurry, sharp in zip(*(images.chunk(parts) for images in pair)):
        with wrapper.optim_context(model):
            losses = model(blurry, DataSample(gt_img=sharp), mode='loss')
        wrapper.update_params(sum(losses.values()))


def unet_and_twin():
    torch.manual_seed(0)
    losses = dict(loss_pix=dict(type='mmagic.L1Loss'))
    kind = dict(type='mmspd.SemanticPriorDeblurrer', losses=losses)
    guided, plain = (build_model(dict(kind, generator=g)) for g in (GUIDED_UNET, UNET))
    plain.generator.load_state_dict(guided.generator.restorer.state_dict())
    return guided, plain


def assert_equal_restorers(guided, plain):
    for one, other in zip(guided.generator.restorer.parameters(), plain.generator.parameters()):
        assert torch.equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize(('parts', 'dtype'), [(1, None), (2, 'bfloat16')])
@pytest.mark.parametrize('name', CLIPPED)
def test_first_step_of_a_recipe_equals_the_step_of_its_plain_twin(name, parts, dtype, pair):
    plain, cfg = recipe(name)
    guided, guided_cfg = recipe(name.replace('_gopro', '_sp_gopro'))
    assert guided_cfg == cfg
    start = copy.deepcopy(guided.generator.restorer.state_dict())
    plain.generator.load_state_dict(start)
    norms = []
    for model in (plain, guided):
        wrapper = build_optim_wrapper(model, dict(cfg, accumulative_counts=parts, dtype=dtype))
        step(wrapper, model, pair, parts)
        norms.append(wrapper.unread)
    assert_equal_restorers(guided, plain)
    state = guided.generator.restorer.state_dict()
    assert any(not torch.equal(start[key], value) for key, value in state.items())
    assert norms[0].keys() == {'grad_norm'}
    assert norms[1].keys() == {'grad_norm', 'grad_norm_prior'}
    assert norms[1]['grad_norm'] == norms[0]['grad_norm'] > cfg.clip_grad.max_norm
    assert norms[1]['grad_norm_prior'] > cfg.clip_grad.max_norm


def test_both_parts_are_clipped_to_the_norm(pair):
    guided, _ = unet_and_twin()
    cfg = dict(type='mmspd.OptimWrapper', optimizer=dict(type='SGD', lr=1.0), clip_grad=CLIP)
    before = {name: value.clone() for name, value in guided.named_parameters()}
    step(build_optim_wrapper(guided, cfg), guided, pair)
    moves = {name: before[name] - value for name, value in guided.named_parameters()}
    restorer = [move for name, move in moves.items() if name.startswith('generator.restorer.')]
    others = [move for name, move in moves.items() if not name.startswith('generator.restorer.')]
    for part in (restorer, others):
        norm = torch.linalg.vector_norm(torch.cat([move.flatten() for move in part]))
        torch.testing.assert_close(norm, torch.tensor(0.01), rtol=1e-3, atol=0)


def test_float16_clips_the_parts_too(pair, monkeypatch):
    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
    cfg = dict(
        type='mmspd.AmpOptimWrapper',
        optimizer=dict(type='SGD', lr=1.0),
        clip_grad=CLIP,
        loss_scale=dict(enabled=False),
        dtype='bfloat16',
    )
    guided, plain = unet_and_twin()
    for model in (guided, plain):
        wrapper = build_optim_wrapper(model, cfg)
        step(wrapper, model, pair)
    assert_equal_restorers(guided, plain)


def test_a_second_optimizer_has_its_own_norm(pair):
    """As in a GAN, whose discriminator has another optimizer."""
    guided, _ = unet_and_twin()
    guided.discriminator = nn.Conv2d(3, 1, 3)
    cfg = dict(type='mmspd.OptimWrapper', optimizer=dict(type='SGD', lr=1.0), clip_grad=CLIP)
    wrappers = OptimWrapperDict(
        generator=build_optim_wrapper(guided.generator, cfg),
        discriminator=build_optim_wrapper(guided.discriminator, cfg),
    )
    for wrapper in wrappers.values():
        with wrapper.optim_context(guided):
            loss = guided.discriminator(guided.generator(pair[0])[-1]).square().mean()
        wrapper.update_params(loss)
    assert wrappers['generator'].unread.keys() == {'grad_norm', 'grad_norm_prior'}
    assert wrappers['discriminator'].unread.keys() == {'grad_norm'}


def test_parts_without_a_known_model_are_refused(pair):
    guided, _ = unet_and_twin()
    cfg = dict(type='mmspd.OptimWrapper', optimizer=dict(type='SGD', lr=1.0), clip_grad=CLIP)
    wrapper = build_optim_wrapper(guided, cfg)
    with pytest.raises(UserError, match=r'clip_grad needs the parts of the model; compute the'):
        wrapper.update_params(guided.generator(pair[0])[-1].mean())
