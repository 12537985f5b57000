"""Training against discriminators: losses, order of the steps, optimizers and resuming."""

import copy

import pytest
import torch
from mmagic.models.editors.deblurganv2.deblurganv2_discriminator import DoubleGan
from mmagic.models.losses.adv_loss import AdvLoss
from mmagic.structures import DataSample
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmspd.engine import AdversarialConstructor, adversarial_constructor
from mmspd.errors import UserError
from mmspd.models import PatchDiscriminator, RelativisticLoss
from mmspd.registry import build_model

MODEL = dict(
    type='mmspd.AdversarialDeblurrer',
    generator=dict(type='mmspd.UNet', base=4, num_res=1),
    losses=dict(loss_pix=dict(type='mmagic.MSELoss')),
    discriminators=dict(
        patch=dict(type='mmspd.PatchDiscriminator', num_layers=1, base=4),
        full=dict(type='mmspd.PatchDiscriminator', num_layers=2, base=4),
    ),
    adversarial_loss=dict(type='mmspd.RelativisticLoss', pool_size=3),
    adversarial_weight=0.3,
)
#: Changes of the tiny config: MIMO-UNet against two discriminators.
ADVERSARIAL = f"""
model.update(
    type='mmspd.AdversarialDeblurrer',
    discriminators={MODEL['discriminators']!r},
    adversarial_loss={MODEL['adversarial_loss']!r})
optim_wrapper = dict(
    type='mmspd.OptimWrapper',
    constructor='mmspd.AdversarialConstructor',
    optimizer=dict(type='Adam', lr=2e-3),
    clip_grad=dict(max_norm=1.0))
"""
STEPS = dict(
    type='mmspd.OptimWrapper',
    constructor='mmspd.AdversarialConstructor',
    optimizer=dict(type='SGD', lr=0.5),
)


def batch(seed):
    torch.manual_seed(seed)
    pixels = [torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8) for _ in range(2)]
    return dict(inputs=[pixels[0]], data_samples=[DataSample(gt_img=pixels[1])])


@pytest.mark.parametrize(
    ('num_layers', 'name', 'parameters', 'side'),
    [(3, 'patch_gan', 2_764_737, 35), (5, 'full_gan', 11_154_369, 11)],
)
def test_discriminators_are_the_official_ones(num_layers, name, parameters, side):
    with torch.device('meta'):
        own, official = PatchDiscriminator(num_layers), getattr(DoubleGan(), name)
        assert own(torch.empty(1, 3, 256, 256)).shape == (1, 1, side, side)
    assert sum(parameter.numel() for parameter in own.parameters()) == parameters
    states = [
        {key: value.shape for key, value in network.state_dict().items()}
        for network in (own, official)
    ]
    assert states[0] == states[1]


def test_a_discriminator_rates_like_the_official_one():
    torch.manual_seed(0)
    official = DoubleGan().patch_gan
    own = PatchDiscriminator()
    own.load_state_dict(official.state_dict())
    img = torch.rand(2, 3, 64, 48)
    with torch.no_grad():
        assert torch.equal(own(img), official((img - 0.5) / 0.5))


def test_relativistic_loss_is_the_official_one():
    """The official loss gets the ratings by an identity; after 50 images, its pool drops some."""
    own, official = RelativisticLoss(), AdvLoss('ragan-ls')
    generator = torch.Generator().manual_seed(0)
    for count in [1, 2] * 18:
        sharp, restored = torch.randn(2, count, 1, 3, 4, generator=generator)
        expected = official(nn.Identity(), restored, sharp)
        torch.testing.assert_close(own.of_discriminator(sharp, restored), expected)
        expected = official(nn.Identity(), restored, sharp, model='generator')
        torch.testing.assert_close(own.of_generator(sharp, restored), expected)
    assert own.sharp.count == 50
    assert own.state_dict().keys() == {
        f'{pool}.{name}' for pool in ('sharp', 'restored') for name in ('ratings', 'count')
    }


def test_steps_of_the_discriminators_and_of_the_generator():
    """Three steps, against plain gradients; the pools hold the ratings of three images."""
    model = build_model(copy.deepcopy(MODEL))
    wrapper = build_optim_wrapper(model, STEPS)
    generator = copy.deepcopy(model.generator)
    rivals = {name: copy.deepcopy(model.discriminators[name]) for name in ('patch', 'full')}
    pools = {name: ([], []) for name in rivals}

    def step(loss, *networks):
        parameters = [p for network in networks for p in network.parameters()]
        with torch.no_grad():
            for parameter, grad in zip(parameters, torch.autograd.grad(loss, parameters)):
                parameter -= 0.5 * grad

    def adversarial(restored, sharp, margin, add):
        total = 0
        for name, rival in rivals.items():
            ratings = rival(sharp), rival(restored)
            if add:
                for pool, rating in zip(pools[name], ratings):
                    pool.append(rating.mean().item())
            means = [sum(pool[-3:]) / len(pool[-3:]) for pool in pools[name]]
            total += 0.3 * ((ratings[0] - means[1] - margin) ** 2).mean() / 4
            total += 0.3 * ((ratings[1] - means[0] + margin) ** 2).mean() / 4
        return total

    for seed in range(5):
        data = batch(seed)
        log = model.train_step(data, wrapper)
        blurry, sharp = data['inputs'][0][None] / 255, data['data_samples'][0].gt_img[None] / 255
        restored = generator(blurry)[-1]
        rivals_loss = adversarial(restored.detach(), sharp, 1, add=True)
        step(rivals_loss, *rivals.values())
        adversarial_loss = adversarial(restored, sharp, -1, add=False)
        pixels = ((restored - sharp) ** 2).mean()
        step(pixels + adversarial_loss, generator)
        assert log['loss_pix'].item() == pytest.approx(pixels.item(), rel=1e-4)
        assert log['loss_adversarial'].item() == pytest.approx(adversarial_loss.item(), rel=1e-4)
        assert log['loss_discriminators'].item() == pytest.approx(rivals_loss.item(), rel=1e-4)
        assert log['loss'].item() == pytest.approx((pixels + adversarial_loss).item(), rel=1e-4)
    for own, plain in [
        (model.generator, generator),
        *((model.discriminators[name], rival) for name, rival in rivals.items()),
    ]:
        for one, other in zip(own.parameters(), plain.parameters()):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def end_of(folder):
    saved = torch.load(folder / 'epoch_2.pth', weights_only=True)
    states = {
        f'{name}.{number}.{key}': value
        for name, part in saved['optimizer'].items()
        for number, state in part['state'].items()
        for key, value in state.items()
    }
    return {**saved['state_dict'], **states}


@pytest.mark.slow
def test_a_resumed_run_equals_an_uninterrupted_one(make_runner, tmp_path):
    whole = make_runner(ADVERSARIAL, work='whole')
    whole.train()
    start = str(tmp_path / 'whole' / 'epoch_1.pth')
    resumed = make_runner(ADVERSARIAL, work='resumed', resume=True, load_from=start)
    resumed.train()
    ends = [end_of(tmp_path / name) for name in ('whole', 'resumed')]
    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])
    assert ends[0]['adversarial_losses.full.sharp.count'] == 3
    assert any(key.startswith('discriminators.') and '.exp_avg' in key for key in ends[0])
    logs = [runner.message_hub.log_scalars for runner in (whole, resumed)]
    for key in ('generator.grad_norm', 'discriminators.grad_norm', 'generator.lr'):
        values = [log[f'train/{key}'].data[0].tolist() for log in logs]
        assert values[0] == values[1]
        assert len(values[0]) == 6


@pytest.mark.slow
def test_a_changed_rate_holds_for_both_optimizers_of_a_resumed_run(make_runner, tmp_path):
    make_runner(ADVERSARIAL, work='whole').train()
    start = str(tmp_path / 'whole' / 'epoch_1.pth')
    changes = {'optim_wrapper.optimizer.lr': 4e-3, 'model.adversarial_weight': 0.5}
    resumed = make_runner(ADVERSARIAL, work='more', resume=True, load_from=start, **changes)
    resumed.train()
    rates = resumed.optim_wrapper.get_lr()
    assert rates.keys() == {'generator.lr', 'discriminators.lr'}
    initial = [group['initial_lr'] for group in resumed.optim_wrapper.param_groups['generator']]
    assert initial == [4e-3]
    log = (tmp_path / 'more').rglob('*.log')
    assert 'changes model.adversarial_weight from None to 0.5' in next(log).read_text()


def test_an_invalid_loss_of_the_discriminators_stops_the_run(make_runner):
    runner = make_runner(ADVERSARIAL)
    with torch.no_grad():
        runner.model.discriminators['full'].model[0].weight[:] = torch.nan
    with pytest.raises(UserError, match='Training stopped at iteration 1 because loss_adversarial'):
        runner.train()


def test_the_generators_optimizer_has_all_other_parts():
    parts = {name: nn.Linear(2, 2) for name in ('generator', 'prior_loss', 'discriminators')}
    cfg = dict(type='mmspd.OptimWrapper', optimizer=dict(type='Adam', lr=1e-4))
    rates = dict(custom_keys={'discriminators': dict(lr_mult=4)})
    wrapper = AdversarialConstructor(cfg, rates)(nn.ModuleDict(parts))

    def parameters(name):
        groups = wrapper[name].optimizer.param_groups
        return {id(p) for group in groups for p in group['params']}

    own = {name: {id(p) for p in part.parameters()} for name, part in parts.items()}
    assert parameters('generator') == own['generator'] | own['prior_loss']
    assert parameters('discriminators') == own['discriminators']
    rates = {group['lr'] for group in wrapper['discriminators'].optimizer.param_groups}
    assert rates == {4e-4}


def test_a_precision_holds_for_both_optimizers():
    model = build_model(copy.deepcopy(MODEL))
    wrapper = build_optim_wrapper(model, dict(STEPS, dtype='bfloat16'))
    assert [part.dtype for part in wrapper.values()] == ['bfloat16', 'bfloat16']
    log = model.train_step(batch(0), wrapper)
    assert all(torch.isfinite(value) for value in log.values())
    assert model.adversarial_losses['full'].sharp.ratings.dtype == torch.float32


def test_wrong_parts_are_refused(monkeypatch):
    model = build_model(copy.deepcopy(MODEL))
    plain = dict(type='mmspd.OptimWrapper', optimizer=dict(type='SGD', lr=0.5))
    with pytest.raises(UserError, match='needs two optimizers; set optim_wrapper.constructor='):
        model.train_step(batch(0), build_optim_wrapper(model, plain))
    with pytest.raises(UserError, match='no discriminators in Linear; remove optim_wrapper.constr'):
        build_optim_wrapper(nn.Linear(2, 2), STEPS)
    with pytest.raises(UserError, match='model.discriminators is empty; name at least one'):
        build_model(dict(copy.deepcopy(MODEL), discriminators={}))
    monkeypatch.setattr(adversarial_constructor, 'get_world_size', lambda: 2)
    with pytest.raises(UserError, match='in one process, but the run has 2; start it without'):
        build_optim_wrapper(model, STEPS)
