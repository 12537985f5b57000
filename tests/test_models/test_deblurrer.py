"""SemanticPriorDeblurrer: the losses of Eq. 7, the teacher outside of the model, error messages."""

import copy
import gc
import pickle

import pytest
import torch
import torch.nn.functional as F
from restorer_contract import EMBEDDING, PRIOR
from streams import record_streams
from torch import nn

from mmspd.errors import UserError
from mmspd.models.layers import side_stream
from mmspd.models.layers.compilation import Compiled
from mmspd.models.teachers.feature_teacher import FeatureTeacher
from mmspd.registry import build_model

RESNET = dict(type='mmpretrain.ResNet', depth=18, out_indices=(0, 1, 2))
TEACHER = dict(
    type='mmspd.FeatureTeacher', backbone=RESNET, channels=(64, 128, 256), weights='random'
)
MIMO = dict(type='mmspd.MIMOUNet', base=8, num_res=1)
GUIDED = dict(type='mmspd.SemanticGuided', restorer=MIMO, prior=PRIOR, embedding=EMBEDDING)
LOSSES = dict(loss_pix=dict(type='mmagic.L1Loss'), loss_freq=dict(type='mmspd.FrequencyLoss'))


def deblurrer(**kwargs):
    torch.manual_seed(0)
    cfg = dict(
        type='mmspd.SemanticPriorDeblurrer',
        generator=GUIDED,
        losses=LOSSES,
        teacher=TEACHER,
        prior_loss=dict(type='mmspd.PriorDistillationLoss', normalize=True),
    )
    cfg.update(kwargs)
    return build_model({key: value for key, value in cfg.items() if value is not None})


def sample(sharp):
    from mmagic.structures import DataSample

    data = DataSample()
    data.set_tensor_data(dict(gt_img=sharp))
    return data


def plain_deblurrer(**kwargs):
    return deblurrer(generator=MIMO, teacher=None, prior_loss=None, **kwargs)


@torch.no_grad()
def predict(images, **test_cfg):
    return plain_deblurrer(test_cfg=test_cfg).eval().forward_inference(images).pred_img


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, 2, 3, 32, 48, generator=generator)


def test_eq8_pixel_loss_is_summed_over_three_scales(pair):
    """Bilinear targets: x0.5 is the 2x2 mean, x0.25 the mean of the center of each 4x4 block."""
    blurry, sharp = pair
    model = plain_deblurrer()
    losses = model(blurry, sample(sharp), mode='loss')
    assert set(losses) == {'loss_pix', 'loss_freq'}
    targets = [
        sharp.unfold(2, 4, 4).unfold(3, 4, 4)[..., 1:3, 1:3].mean((-1, -2)),
        F.avg_pool2d(sharp, 2),
        sharp,
    ]
    outs = model.generator(blurry)
    l1 = sum((out - target).abs().mean() for out, target in zip(outs, targets))
    assert losses['loss_pix'].item() == pytest.approx(l1.item(), rel=1e-5)
    spectra = [torch.view_as_real(torch.fft.fft2(o - t)) for o, t in zip(outs, targets)]
    freq = 0.1 * sum(s.abs().mean() for s in spectra)
    assert losses['loss_freq'].item() == pytest.approx(freq.item(), rel=1e-4)


def test_eq7_prior_loss(pair):
    blurry, sharp = pair
    model = deblurrer()
    model.init_weights()
    losses = model(blurry, sample(sharp), mode='loss')
    assert set(losses) == {'loss_pix', 'loss_freq', 'loss_prior'}
    teacher = model._teacher.get(sharp.device)
    want = model.prior_loss(model.generator.prior(blurry), teacher(sharp))
    assert losses['loss_prior'].item() == pytest.approx(want.item(), rel=1e-6)
    assert model.prior_distance(blurry, sharp).item() == pytest.approx(want.item(), rel=1e-6)
    total, _ = model.parse_losses(losses)
    assert total.item() == pytest.approx(sum(loss.item() for loss in losses.values()), rel=1e-6)


def test_both_losses_reach_the_extractor(pair):
    """F_S learns from the restoration losses too, as soon as SAT is not zero."""
    model = deblurrer()
    with torch.no_grad():
        for parameter in model.generator.embedding.parameters():
            parameter.add_(0.01)
    stem = model.generator.prior.extractor.levels[0][0].weight
    losses = model(pair[0], sample(pair[1]), mode='loss')
    for name in ('loss_pix', 'loss_prior'):
        (gradient,) = torch.autograd.grad(losses[name], stem, retain_graph=True)
        assert gradient.abs().sum() > 0


@pytest.mark.slow
def test_odd_crops_train(pair):
    blurry, sharp = pair[..., :27, :43]
    model = deblurrer()
    losses = model(blurry, sample(sharp), mode='loss')
    assert all(torch.isfinite(loss) for loss in losses.values())


@pytest.mark.slow
def test_teacher_is_no_part_of_the_model(pair):
    gc.collect()
    before = {id(o) for o in gc.get_objects() if isinstance(o, FeatureTeacher)}
    model = deblurrer()
    model.init_weights()
    model(pair[0], sample(pair[1]), mode='loss')
    names = [name for name, _ in model.named_modules()] + list(model.state_dict())
    assert not [name for name in names if 'teacher' in name]
    trained = {name.split('.')[0] for name, _ in model.named_parameters()}
    assert trained == {'generator', 'prior_loss'}
    copied = copy.deepcopy(model)  # as EMA does
    copied(pair[0], sample(pair[1]), mode='loss')
    assert copied._teacher is model._teacher
    gc.collect()
    alive = [o for o in gc.get_objects() if isinstance(o, FeatureTeacher)]
    assert len([teacher for teacher in alive if id(teacher) not in before]) == 1


def test_teacher_is_built_for_training_only(pair, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise AssertionError('the teacher was built')

    monkeypatch.setattr(FeatureTeacher, '__init__', refuse)
    model = deblurrer().eval()
    with torch.no_grad():
        out = model(pair[0], mode='tensor')
    assert out.shape == pair[0].shape
    with pytest.raises(AssertionError, match='the teacher was built'):
        model.init_weights()


def test_teacher_stays_frozen_in_evaluation_mode(pair):
    model = deblurrer()
    model.init_weights()
    model.train()
    teacher = model._teacher.get(torch.device('cpu')).train()
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = model(pair[0], sample(pair[1]), mode='loss')
    sum(losses.values()).backward()
    optimizer.step()
    assert not teacher.training
    assert not any(p.requires_grad or p.grad is not None for p in teacher.parameters())
    assert all(torch.equal(before[k], v) for k, v in teacher.state_dict().items())


def test_guided_without_distillation_is_net0_star(pair):
    model = deblurrer(teacher=None, prior_loss=None)
    losses = model(pair[0], sample(pair[1]), mode='loss')
    assert set(losses) == {'loss_pix', 'loss_freq'}
    with pytest.raises(ValueError, match='has no teacher'):
        model.prior_distance(*pair)


def test_channels_last(pair):
    plain, last = deblurrer(), deblurrer(channels_last=True)
    weight = last.generator.restorer.Encoder[0].layers[0].main[0].main[0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    seen = []
    last.generator.restorer.feat_extract[0].register_forward_pre_hook(
        lambda m, args: seen.append(args[0].is_contiguous(memory_format=torch.channels_last))
    )
    with torch.no_grad():
        want, got = plain(pair[0], mode='tensor'), last(pair[0], mode='tensor')
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)
    assert all(seen)


def test_autocast_trains(pair):
    model = deblurrer()
    with torch.autocast('cpu', torch.bfloat16):
        losses = model(pair[0], sample(pair[1]), mode='loss')
    assert losses['loss_freq'].dtype == torch.float32
    assert losses['loss_prior'].dtype == torch.float32
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (
            dict(losses=dict(pix=dict(type='mmagic.L1Loss'))),
            "key 'pix' .*rename the key to loss_pix",
        ),
        (
            dict(multi_scale_targets='lanczos'),
            "model.multi_scale_targets='lanczos' is unknown; use one of bilinear",
        ),
        (
            dict(teacher_stream=True, compile=dict(mode='reduce-overhead')),
            'teacher_stream=True does not fit model.compile=.*, which uses CUDA graphs; set',
        ),
        (dict(teacher=None), 'model.teacher is missing; set both teacher and prior_loss'),
        (dict(prior_loss=None), 'model.prior_loss is missing'),
        (dict(generator=MIMO), 'model.generator is a plain restorer without a prior'),
        (
            dict(teacher={k: v for k, v in TEACHER.items() if k != 'channels'}),
            'model.teacher has no channels; add channels=',
        ),
        (
            dict(test_cfg=dict(self_ensembl=True)),
            "test_cfg has no key 'self_ensembl'; use one of self_ensemble",
        ),
        (
            dict(test_cfg=dict(window=256, tile=512)),
            'test_cfg has both tile=512 and window=256; set window=0 ',
        ),
        (dict(test_cfg=dict(window='auto')), "window='auto' is unknown; use a number of pixels"),
    ],
)
def test_components_that_do_not_fit(kwargs, message):
    with pytest.raises(ValueError, match=message):
        deblurrer(**kwargs)


def test_strides_are_checked_when_training_starts():
    extractor = dict(PRIOR['extractor'], strides=(4, 8, 16))
    generator = dict(GUIDED, prior=dict(PRIOR, extractor=extractor))
    model = deblurrer(generator=generator, teacher=dict(TEACHER, scale=2))
    message = (
        r'strides \(2, 4, 8\), which are not multiples of the strides \(4, 8, 16\) of the prior'
    )
    with pytest.raises(ValueError, match=message):
        model.init_weights()


def test_a_teacher_without_enlargement_trains_a_prior_of_smaller_strides(pair):
    model = deblurrer()
    model.init_weights()
    blurry, sharp = pair
    model(blurry, sample(sharp), mode='loss')['loss_prior'].backward()
    levels = model.teacher_features(blurry, sharp)
    prior = model.generator.compute_prior(blurry)
    assert [2 * level.shape[-1] for level in levels] == [level.shape[-1] for level in prior]
    assert all(
        weight.grad.abs().sum() > 0 for weight in model.generator.prior.extractor.parameters()
    )


def test_multi_scale_targets_with_aligned_corners(pair):
    blurry, sharp = pair
    model = plain_deblurrer(multi_scale_targets='bilinear_corners')
    outs = model.generator(blurry)
    targets = [
        F.interpolate(sharp, size=out.shape[-2:], mode='bilinear', align_corners=True)
        for out in outs
    ]
    want = sum((out - target).abs().mean() for out, target in zip(outs, targets))
    got = model(blurry, sample(sharp), mode='loss')['loss_pix']
    assert got.item() == pytest.approx(want.item(), rel=1e-5)


@pytest.mark.parametrize('gray', [False, True])
def test_multi_scale_targets_of_tensorflow(pair, gray):
    """Every fourth and every second pixel; gray images are compared with gray targets."""
    blurry, sharp = pair
    torch.manual_seed(0)
    generator = dict(type='mmspd.PSSNSC', base=4, num_res=1, gray_training=gray)
    model = deblurrer(
        generator=generator, teacher=None, prior_loss=None, multi_scale_targets='tf1'
    ).train()
    outs = model.generator(blurry)
    red, green, blue = sharp.unbind(1)
    target = (0.2989 * red + 0.5870 * green + 0.1140 * blue)[:, None] if gray else sharp
    assert [out.shape[1] for out in outs] == [target.shape[1]] * 3
    pairs = zip(outs, (target[..., ::4, ::4], target[..., ::2, ::2], target))
    want = sum((out - small).abs().mean() for out, small in pairs)
    got = model(blurry, sample(sharp), mode='loss')['loss_pix']
    assert got.item() == pytest.approx(want.item(), rel=1e-5)


def test_teacher_is_done_before_the_generator_begins(pair):
    model = deblurrer(channels_last=True)
    model.init_weights()
    order, teacher = [], model._teacher.get(pair.device)
    teacher.register_forward_pre_hook(lambda m, args: order.append(args[0]))
    model.generator.restorer.register_forward_pre_hook(lambda m, args: order.append('restorer'))
    model(pair[0], sample(pair[1]), mode='loss')
    assert order[0].is_contiguous(memory_format=torch.channels_last)
    assert teacher.backbone.conv1.weight.is_contiguous(memory_format=torch.channels_last)
    assert order[1] == 'restorer'


@pytest.mark.slow
def test_a_teacher_can_be_shown_the_blurry_image(pair):
    blurry, sharp = pair
    model = deblurrer(teacher_sees='blurry')
    loss = model(blurry, sample(sharp), mode='loss')['loss_prior']
    torch.manual_seed(1)
    other = model(blurry, sample(torch.rand_like(sharp)), mode='loss')['loss_prior']
    assert torch.equal(loss, other)
    assert torch.equal(model.prior_distance(blurry, sharp), loss)
    usual = deblurrer()(blurry, sample(sharp), mode='loss')['loss_prior']
    assert not torch.isclose(loss, usual)
    with pytest.raises(UserError, match="teacher_sees='both' is unknown; use 'sharp'"):
        deblurrer(teacher_sees='both')


def test_a_slow_dtype_of_the_teacher_gives_a_warning(pair, pretend_processor):
    warnings = pretend_processor('avx512_vnni')
    deblurrer(teacher=dict(TEACHER, dtype='bfloat16')).teacher_features(*pair)
    assert 'has no bfloat16 instructions' in warnings[0]


def test_a_detached_prior_learns_from_its_teacher_alone(pair):
    blurry, sharp = pair
    model = deblurrer(generator=dict(GUIDED, detach_prior=True))
    losses = model(blurry, sample(sharp), mode='loss')
    restoration = losses['loss_pix'] + losses['loss_freq']
    weights = list(model.generator.prior.parameters())
    gradients = torch.autograd.grad(restoration, weights, retain_graph=True, allow_unused=True)
    assert gradients == (None,) * len(weights)
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(losses['loss_prior'], weights))
    with pytest.raises(UserError, match='detach_prior is set without a teacher'):
        deblurrer(generator=dict(GUIDED, detach_prior=True), teacher=None, prior_loss=None)


@pytest.mark.slow
def test_compiled_training_is_the_same_and_leaves_no_trace(pair):
    compiled_sizes = []

    def backend(graph, inputs):
        compiled_sizes.extend(i.shape[-2:] for i in inputs if getattr(i, 'ndim', 0) == 4)
        return graph.forward

    eager, model = deblurrer(), deblurrer(compile=dict(dynamic=False, backend=backend))
    for network in (eager, model):
        torch.manual_seed(1)
        network.init_weights()
    assert list(model.state_dict()) == list(eager.state_dict())
    want, got = (network(pair[0], sample(pair[1]), mode='loss') for network in (eager, model))
    for name, loss in want.items():
        torch.testing.assert_close(got[name], loss)
    for losses in (want, got):
        sum(losses.values()).backward()
    for one, other in zip(model.parameters(), eager.parameters()):
        torch.testing.assert_close(one.grad, other.grad)
    assert (32, 48) in compiled_sizes
    seen = len(compiled_sizes)
    copied = copy.deepcopy(model)  # as EMA does
    with torch.no_grad():
        for network in (model.eval(), copied.eval()):  # validation images are not compiled
            network(torch.rand(1, 3, 40, 56), mode='tensor')
    assert list(copied.state_dict()) == list(eager.state_dict())
    assert copied._compiled_generator._compiled is None
    assert len(compiled_sizes) == seen


@pytest.mark.slow
def test_a_failed_compilation_raises_a_user_error(pair):
    def backend(graph, inputs):
        raise RuntimeError('no working C++ compiler gradients')

    model = plain_deblurrer(compile=dict(backend=backend))
    with pytest.raises(ValueError, match='PyTorch cannot compile here .*no working C.. comp'):
        model(pair[0], sample(pair[1]), mode='loss')


def test_compile_that_torch_does_not_know_is_refused(pair):
    with pytest.raises(UserError, match="compile='yes' is unknown; use True, False or a dict"):
        deblurrer(compile='yes')
    model = plain_deblurrer(compile=dict(mode='quick'))
    with pytest.raises(UserError, match='refused by torch.compile .*Unrecognized mode=quick'):
        model(pair[0], sample(pair[1]), mode='loss')


@pytest.mark.slow
def test_compiled_model_pickles(pair):
    model = plain_deblurrer(compile=dict(backend='eager'))
    want = model(pair[0], sample(pair[1]), mode='loss')
    got = pickle.loads(pickle.dumps(model))(pair[0], sample(pair[1]), mode='loss')
    assert all(torch.equal(got[name], loss) for name, loss in want.items())


@pytest.mark.slow
def test_precision_and_compiling_are_for_testing_too(pair):
    sizes = []

    def backend(graph, inputs):
        sizes.extend(i.shape for i in inputs if getattr(i, 'ndim', 0) == 4 and i.shape[1] == 3)
        return graph.forward

    want = predict(pair[0])
    compiled = predict(pair[0], compile=dict(backend=backend, dynamic=False))
    torch.testing.assert_close(compiled, want)
    assert pair[0].shape in sizes
    half = predict(pair[0], precision='bfloat16')
    assert half.dtype == torch.float32
    assert 0 < (half - want).abs().max() < 10
    with torch.autocast('cpu', torch.bfloat16):  # as in a loop with fp16=True
        assert torch.equal(predict(pair[0], precision='float32'), want)
    with pytest.raises(UserError, match="precision='half' is unknown"):
        predict(pair[0], precision='half')


@pytest.mark.parametrize(
    ('options', 'allowed'),
    [({}, False), (dict(window=16), False), (dict(precision='tf32'), True)],
)
def test_convolutions_use_tf32_on_request_only(pair, options, allowed, monkeypatch):
    seen = set()

    def record(module, inputs):
        seen.add(torch.backends.cudnn.allow_tf32)

    with nn.modules.module.register_module_forward_pre_hook(record):
        for outside in (True, False):
            monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', outside)
            predict(pair[0], **options)
            assert torch.backends.cudnn.allow_tf32 is outside
    assert seen == {allowed}


@pytest.mark.slow
def test_a_teacher_on_its_own_stream_runs_beside_the_generator(pair, monkeypatch):
    """The streams are imitated; the losses are those of one stream."""
    expected = deblurrer()(pair[0], sample(pair[1]), mode='loss')
    monkeypatch.setattr(side_stream, '_is_on_cuda', lambda tensor: True)
    events = record_streams(monkeypatch, 'side')
    model = deblurrer(teacher_stream=True)
    model.generator.restorer.register_forward_hook(lambda *_: events.append('generator'))
    model.prior_loss.register_forward_pre_hook(lambda *_: events.append('prior loss'))
    losses = model(pair[0], sample(pair[1]), mode='loss')
    assert all(torch.equal(loss, expected[name]) for name, loss in losses.items())
    start = ['side waits for computing', 'enter side', 'leave side', *2 * ['used by side']]
    end = ['computing waits for side', *3 * ['used by computing'], 'prior loss']
    assert events == [*start, 'generator', *end]


@pytest.mark.slow
def test_testing_in_tiles(pair):
    images = torch.rand(2, 3, 96, 160)
    want = predict(images)
    tiled = predict(images, tile=64)
    assert tiled.shape == want.shape
    assert not torch.equal(tiled, want)  # neighboring tiles are blended
    assert (tiled - want).abs().mean() < 1
    torch.testing.assert_close(predict(images, tile=160), want)  # one tile
    ensemble = predict(images, self_ensemble=True)
    assert (ensemble - want).abs().max() > 0.1
    torch.testing.assert_close(predict(images, tile=160, self_ensemble=True), ensemble)
    compiled = predict(images, tile=64, compile=dict(backend='eager', dynamic=False))
    torch.testing.assert_close(compiled, tiled, atol=0.1, rtol=0)


def test_testing_in_windows(pair):
    images = torch.rand(2, 3, 32, 64)
    halves = [predict(half) for half in images.chunk(2, -1)]
    windows = predict(images, window=32)
    torch.testing.assert_close(windows, torch.cat(halves, -1))
    whole = predict(images)
    assert (whole - windows).abs().max() > 0.1
    assert torch.equal(predict(images, window=0), whole)


@pytest.mark.parametrize(
    ('options', 'reused'),
    [
        (False, False),
        (True, False),
        (dict(mode='max-autotune'), True),
        (dict(mode='max-autotune-no-cudagraphs'), False),
        (dict(options={'triton.cudagraphs': True}), True),
        (dict(backend='cudagraphs'), True),
    ],
)
def test_reuse_of_memory_by_cuda_graphs_is_known(options, reused):
    assert Compiled(options).reuses_memory == reused
