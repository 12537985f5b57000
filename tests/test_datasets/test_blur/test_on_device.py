"""Blur synthesis and flips on the device of the model, here the CPU."""

import deferred_blur
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

from mmspd.datasets import (
    FlipAndTranspose,
    PairedFolderDataset,
    SharpFolderDataset,
    SynthesizeBlur,
    stack_batch,
)
from mmspd.datasets.blur import on_device
from mmspd.datasets.blur.on_device import PlannedBlur
from mmspd.datasets.blur.synthesis import BlurSpec, plan_blur
from mmspd.datasets.image_io import write_png
from mmspd.engine.prefetch_hook import Prefetcher
from mmspd.errors import UserError
from mmspd.registry import build_model, import_sibling

CPU = torch.device('cpu')
MODEL = dict(
    type='mmspd.SemanticPriorDeblurrer',
    generator=dict(type='mmspd.UNet', base=4, num_res=1),
    losses=dict(loss_pix=dict(type='mmagic.L1Loss')),
)
LOAD, PACK = (
    dict(type='mmspd.LoadImagePair'),
    dict(type='mmspd.PackInputs', meta_keys=['severity']),
)
CROP = dict(type='mmagic.PairedRandomCrop', gt_patch_size=24)
MMAGIC_FLIPS = [
    dict(type='mmagic.Flip', keys=['img', 'gt'], flip_ratio=0.5, direction='horizontal'),
    dict(type='mmagic.Flip', keys=['img', 'gt'], flip_ratio=0.5, direction='vertical'),
    dict(type='mmagic.RandomTransposeHW', keys=['img', 'gt'], transpose_ratio=0.5),
]


def synthesize(**arguments):
    arguments = dict(gt_patch_size=48, moving_regions=2, noise=(0.0, 0.0), **arguments)
    return dict(type='mmspd.SynthesizeBlur', **arguments)


@pytest.fixture(scope='module')
def model():
    import_sibling('mmagic')
    return build_model(MODEL)


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    """Three photos of different sizes."""
    root, photo = tmp_path_factory.mktemp('photos'), deferred_blur.photo()
    for number, part in enumerate((photo, photo[:, :100], photo[20:])):
        write_png(root / f'{number}.png', part)
    return root


@pytest.mark.slow
@pytest.mark.parametrize('kind', deferred_blur.BLURS)
def test_the_blur_is_that_of_the_cpu(kind):
    deferred_blur.check_equal_blurs(kind, CPU, range(2))


def planned(seed=0, noise=0.0):
    sharp, rng = deferred_blur.photo(), np.random.default_rng(5)
    spec = BlurSpec(noise=(noise, noise), moving_regions=2)
    return PlannedBlur.of(plan_blur(sharp, rng, spec), sharp, seed)


@pytest.mark.slow
def test_a_large_crop_is_computed_in_parts(monkeypatch):
    whole, _ = planned().images()
    monkeypatch.setattr(on_device, '_PIXELS', 3 * deferred_blur.WIDTH * deferred_blur.HEIGHT)
    warp, counts = on_device._warp, []
    monkeypatch.setattr(
        on_device, '_warp', lambda *args: counts.append(len(args[1])) or warp(*args)
    )
    parts, _ = planned().images()
    assert max(counts) == 3
    assert (parts.int() - whole).abs().max() <= 1
    assert (parts == whole).float().mean() > 0.999


@pytest.mark.slow
def test_the_noise_of_a_sample_is_repeated():
    torch.manual_seed(0)
    noisy, _ = planned(seed=1, noise=0.02).images()
    torch.manual_seed(3)
    assert torch.equal(planned(seed=1, noise=0.02).images()[0], noisy)
    assert not torch.equal(planned(seed=2, noise=0.02).images()[0], noisy)
    clean, _ = planned().images()
    inner = (clean > 25) & (clean < 230)  # not clipped
    error = (noisy.float() - clean)[inner]
    assert error.std() == pytest.approx(0.02 * 255, rel=0.02)
    assert error.mean() == pytest.approx(0, abs=0.1)


def preprocessed(model, dataset, seed):
    """Return the inputs and targets of a batch of all samples, as a training step gets them."""
    np.random.seed(seed)
    batch = stack_batch([dataset[number] for number in range(len(dataset))])
    batch = model.data_preprocessor(batch, True)
    return batch['inputs'] * 255, batch['data_samples'].gt_img * 255, batch['data_samples'].severity


@pytest.mark.slow
def test_whole_pipelines_are_equal(model, photos):
    """Photos of different sizes in a batch, blurred, flipped and transposed."""
    host, device = (
        SharpFolderDataset(str(photos), pipeline=[LOAD, *steps, PACK])
        for steps in (
            [synthesize(), *MMAGIC_FLIPS],
            [synthesize(on_device=True), dict(type='mmspd.FlipAndTranspose')],
        )
    )
    flips = set()
    for seed in range(6):
        one, other = preprocessed(model, host, seed), preprocessed(model, device, seed)
        assert torch.equal(one[1], other[1])
        assert (one[0] - other[0]).abs().max() <= deferred_blur.LARGEST + 0.01
        assert one[2] == other[2]
        np.random.seed(seed)
        flips.update(tuple(sample['inputs'].flips) for sample in device)
    assert len(flips) > 5


@pytest.mark.parametrize('where', [False, True], ids=['worker', 'device'])
def test_flips_of_pairs_are_those_of_mmagic(model, pairs_root, where):
    mmagic, own = (
        PairedFolderDataset(str(pairs_root / 'val'), pipeline=[LOAD, CROP, *steps, PACK])
        for steps in (MMAGIC_FLIPS, [dict(type='mmspd.FlipAndTranspose', on_device=where)])
    )
    for seed in range(8):
        for one, other in zip(*(preprocessed(model, each, seed)[:2] for each in (mmagic, own))):
            assert torch.equal(one, other)
            assert one.stride() == other.stride()


def test_a_plan_has_copies_of_the_pixels():
    photo = deferred_blur.photo()
    photo.setflags(write=False)  # like a photo of a pack
    made = SynthesizeBlur(32, on_device=True)(dict(gt=photo, gt_path='a.png'))
    assert 'gt' not in made
    assert made['severity'] in ('mild', 'moderate', 'severe')
    assert made['blur_extent'] > 0
    made['img'].photo[:] = 0
    assert photo.any()


def test_a_batch_may_mix_computed_and_loaded_pairs(model, photos, monkeypatch):
    sharp = SharpFolderDataset(str(photos), pipeline=[LOAD, synthesize(on_device=True), PACK])
    samples = []
    for _ in range(2):
        np.random.seed(0)
        samples.append(sharp[0])
    compute, precise = PlannedBlur.images, []
    loaded = samples[0]
    loaded['inputs'], loaded['data_samples'].gt_img = loaded['inputs'].images()

    def images(pair):
        precise.append(not torch.is_autocast_enabled('cpu') and not torch.is_grad_enabled())
        return compute(pair)

    monkeypatch.setattr(PlannedBlur, 'images', images)
    with torch.autocast('cpu', torch.bfloat16):  # as in a training with --amp
        batch = model.data_preprocessor(stack_batch(samples), True)
    assert torch.equal(*batch['inputs'])
    assert torch.equal(*batch['data_samples'].gt_img)
    assert precise == [True]


@pytest.mark.slow
def test_plans_are_copied_to_the_device_beforehand(monkeypatch):
    from streams import record_streams

    record_streams(monkeypatch, 'copying')
    monkeypatch.setattr(torch.Tensor, 'pin_memory', lambda tensor: tensor)
    plan = planned()
    FlipAndTranspose()(dict(img=plan))
    ((moved,),) = (batch['inputs'] for batch in Prefetcher([dict(inputs=[plan])], 'meta'))
    assert type(moved) is PlannedBlur
    assert {tensor.device.type for tensor in moved.values()} == {'meta'}
    assert moved.metainfo == plan.metainfo
    assert [image.shape for image in moved.images()] == [(3, 120, 180)] * 2


def test_flips_are_no_blur(photos):
    pipeline = [LOAD, dict(type='mmspd.FlipAndTranspose')]
    with pytest.raises(UserError, match=r'no mmspd\.SynthesizeBlur and does not blur'):
        SharpFolderDataset(str(photos), pipeline=pipeline)


@pytest.mark.parametrize('step', MMAGIC_FLIPS, ids=['flip', 'vertical', 'transpose'])
def test_transforms_that_need_the_images_are_refused(photos, monkeypatch, step):
    monkeypatch.setattr(np.random, 'random', lambda: 0.0)
    with DefaultScope.overwrite_default_scope('mmagic'):
        pipeline = [LOAD, synthesize(on_device=True), step, PACK]
        dataset = SharpFolderDataset(str(photos), pipeline=pipeline)
    with pytest.raises(UserError, match=r"0\.png' is blurred .*; after .* use only mmspd\.FlipA"):
        dataset[0]


@pytest.mark.slow
def test_a_resumed_training_repeats_the_losses(make_runner, tmp_path):
    deferred_blur.check_resumed_losses(make_runner, tmp_path, CPU)
