"""Stacked batches have the values of MMagic's pipeline and MMEngine's batches."""

import copy
import pickle
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
from mmengine.dataset import RepeatDataset, pseudo_collate
from torch.utils.data import DataLoader

from mmspd.datasets import PairedFolderDataset, SeededSampler, collate, samplers, stack_batch
from mmspd.datasets.transforms.packing import to_planes
from mmspd.datasets.worker_batch import WorkerBatch
from mmspd.errors import UserError
from mmspd.registry import FUNCTIONS, build_model, import_sibling
from mmspd.utils.sample_stack import SampleStack, can_stack

CROP = dict(type='mmagic.PairedRandomCrop', gt_patch_size=24)


def pipeline_of(scope, crop=CROP):
    keys = ['img', 'gt']
    return [
        dict(type='mmspd.LoadImagePair'),
        *([crop] if crop else []),
        dict(type='mmagic.Flip', keys=keys, flip_ratio=0.5, direction='horizontal'),
        dict(type='mmagic.Flip', keys=keys, flip_ratio=0.5, direction='vertical'),
        dict(type='mmagic.RandomTransposeHW', keys=keys, transpose_ratio=0.5),
        dict(type=f'{scope}.PackInputs', meta_keys=['key', 'severity', 'flip_infos']),
    ]


def batches(root, scope, collate_fn, workers=0, crop=CROP):
    """The batches of two epochs; the dataset is repeated, as in the recipe of NAFNet."""
    import_sibling('mmagic')
    dataset = PairedFolderDataset(str(root), pipeline=pipeline_of(scope, crop))
    dataset = RepeatDataset(dataset, times=2)
    sampler = SeededSampler(dataset, shuffle=True, seed=3)
    options = dict(persistent_workers=workers > 0, collate_fn=collate_fn, num_workers=workers)
    loader = DataLoader(dataset, 4, sampler=sampler, **options)
    for epoch in range(2):
        sampler.set_epoch(epoch)
        yield from loader


def assert_equal(one, other):
    assert one['inputs'].equal(other['inputs'])
    one, other = one['data_samples'], other['data_samples']
    assert one.gt_img.equal(other.gt_img)
    assert sorted(one.all_keys()) == sorted(other.all_keys())
    for key in one.metainfo_keys():
        assert repr(one.get(key)) == repr(other.get(key))


@pytest.mark.parametrize('workers', [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_training_gets_the_values_of_mmagic(root, workers):
    scale = dict(mean=[0.0] * 3, std=[255.0] * 3)
    mmagic = build_model(dict(type='mmagic.DataPreprocessor', **scale))
    ours = build_model(dict(type='mmspd.DataPreprocessor'))
    stock = list(batches(root, 'mmagic', pseudo_collate))
    stacked = list(batches(root, 'mmspd', FUNCTIONS.get('mmspd.stack_batch'), workers))
    assert len(stock) == len(stacked) == 6
    for expected, batch in zip(stock, stacked):
        assert batch['inputs'].shape == (4, 3, 24, 24)
        assert batch['inputs'].is_contiguous()
        assert batch['data_samples'].stacked.gt_img.is_contiguous()
        assert type(batch) is dict
        expected = mmagic(expected, training=True)
        # the batch also fits MMagic's class, which reads the samples one by one
        assert_equal(ours(dict(batch), training=True), expected)
        assert batch['data_samples'].stacked is not None
        assert_equal(mmagic(copy.deepcopy(batch), training=True), expected)
        assert_equal(ours(dict(stack_batch(_samples(batch))), training=True), expected)


def _samples(batch):
    """The samples of a batch; reading them ends the stack."""
    samples = [
        dict(inputs=image, data_samples=sample)
        for image, sample in zip(batch['inputs'], batch['data_samples'])
    ]
    assert batch['data_samples'].stacked is None
    return samples


def test_a_changed_sample_stays_changed(root):
    batch = next(batches(root, 'mmspd', stack_batch))
    samples = batch['data_samples']
    samples[1].gt_img = torch.full((3, 24, 24), 51, dtype=torch.uint8)
    assert [sample.key for sample in samples[1:3]] == [samples[1].key, samples[2].key]
    sharp = build_model(dict(type='mmspd.DataPreprocessor'))(batch, training=True)['data_samples']
    assert sharp.gt_img[1].unique().tolist() == pytest.approx([0.2])
    assert sharp.gt_img[0].unique().numel() > 1


def test_validation_gets_the_samples_as_bgr(root):
    ours = build_model(dict(type='mmspd.DataPreprocessor'))
    batch = next(batches(root, 'mmspd', stack_batch))
    rgb = batch['data_samples'].stacked.gt_img.clone()
    assert ours(batch, training=False)['data_samples'].gt_img.equal(rgb.flip(1))


@pytest.mark.parametrize('workers', [0, pytest.param(1, marks=pytest.mark.slow)])
def test_images_of_different_sizes_are_not_stacked(root, workers):
    batch = next(batches(root, 'mmspd', stack_batch, workers, crop=None))
    expected = next(batches(root, 'mmagic', pseudo_collate, crop=None))
    assert isinstance(batch['inputs'], list)
    assert isinstance(batch['data_samples'], list)
    for one, other in zip(batch['inputs'], expected['inputs']):
        assert one.equal(other)
    generator = dict(type='mmspd.UNet', base=4, num_res=1)
    losses = dict(loss_pix=dict(type='mmagic.L1Loss'))
    model = build_model(
        dict(type='mmspd.SemanticPriorDeblurrer', generator=generator, losses=losses)
    )
    with pytest.raises(UserError, match='The images of a batch have different sizes'):
        model.data_preprocessor(batch, training=True)


def test_samples_of_other_forms_are_batched_as_by_mmengine():
    import_sibling('mmagic')
    from mmagic.structures import DataSample

    image = torch.zeros(3, 4, 4)
    sample = DataSample(gt_img=image)
    others = (
        DataSample(gt_img=image.double()),
        DataSample(gt_img=image, mask=image),
        DataSample(gt_img=image, metainfo=dict(key='a')),
        DataSample(gt_img='a'),
    )
    for other in others:
        batch = stack_batch([dict(inputs=image, data_samples=each) for each in (sample, other)])
        assert batch['data_samples'] == [sample, other]
        assert batch['inputs'][0] is image
    # such as blur that the model computes
    packed = [dict(inputs=sample, data_samples=DataSample()) for _ in range(2)]
    assert stack_batch(packed)['inputs'] == [sample, sample]
    assert not can_stack([sample, image])
    assert stack_batch([dict(img=1), dict(img=2)]) == dict(img=[1, 2])
    assert stack_batch(['a', 'b']) == ['a', 'b']


@pytest.mark.parametrize('dtype', [np.uint8, np.float32, np.int64])
def test_planes_of_every_view(dtype):
    image = np.random.default_rng(0).integers(0, 255, (9, 14, 3)).astype(dtype)
    flipped = image.transpose(1, 0, 2)[::-1, ::-1]
    views = [image, image[2:7, 3:5], image[::-1], image[:, ::-1], flipped, flipped[:1]]
    pack = pipeline_of('mmspd')[-1]
    import_sibling('mmagic')
    from mmagic.registry import TRANSFORMS

    for view in (*views, image[..., :1], image[..., 0]):
        expected = TRANSFORMS.build(dict(pack, type='mmagic.PackInputs'))(dict(img=view, gt=view))
        sample = TRANSFORMS.build(pack)(dict(img=view, gt=view))
        for tensor in (sample['inputs'], sample['data_samples'].gt_img):
            assert tensor.is_contiguous()
            assert tensor.equal(expected['inputs'])
    for view in views if dtype != np.int64 else ():
        assert to_planes(view).numpy().tolist() == view.transpose(2, 0, 1).tolist()


@pytest.mark.parametrize('has_files', [True, False])
def test_a_worker_sends_any_tensors(monkeypatch, has_files):
    if not has_files:
        monkeypatch.delattr('os.memfd_create')
    tensors = dict(
        strided=torch.arange(12).reshape(3, 4).T,
        flags=torch.tensor([True, False, True]),
        half=torch.tensor(0.5, dtype=torch.bfloat16),
        empty=torch.zeros(0, 3),
        weight=torch.ones(2, requires_grad=True),
    )
    batch = WorkerBatch(tensors=tuple(tensors.values()), name='cat')
    received = pickle.loads(ForkingPickler.dumps(batch))
    assert received['name'] == 'cat'
    for one, other in zip(received['tensors'], batch['tensors']):
        assert (one.dtype, one.shape, one.requires_grad) == (
            other.dtype,
            other.shape,
            other.requires_grad,
        )
        assert one.equal(other)
        one.detach().zero_()  # the memory is writable


def test_a_batch_is_one_file(monkeypatch):
    import os

    names = []
    create = os.memfd_create
    monkeypatch.setattr('os.memfd_create', lambda name: names.append(name) or create(name))
    monkeypatch.setattr(collate, 'get_worker_info', lambda: 'a worker')
    images = [np.full((8, 8, 3), number, np.uint8) for number in range(4)]
    from mmspd.datasets import PackInputs

    batch = stack_batch([PackInputs()(dict(img=image, gt=image)) for image in images])
    received = pickle.loads(ForkingPickler.dumps(batch))
    assert len(names) == 1
    assert received['inputs'][:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert isinstance(received['data_samples'], SampleStack)
    assert received['data_samples'][2].gt_img.unique().tolist() == [2]


def test_a_worker_draws_the_same_numbers(monkeypatch):
    def draw():
        return [np.random.random(), np.random.randint(9), np.random.standard_normal()]

    def nested():
        with samplers.seeded(0, 1, 2):
            first = draw()
            with samplers.seeded(0, 1, 3):
                second = draw()
            return first, second, draw()

    np.random.seed(1)
    expected = nested(), np.random.random()
    monkeypatch.setattr(samplers, 'get_worker_info', lambda: 'a worker')
    np.random.seed(1)
    assert (nested(), np.random.random()) == expected
