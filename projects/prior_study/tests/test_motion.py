"""The true motion of a synthetic blur, and its way to the network."""

import json

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from prior_study.motion import LoadMotion, PackMotion, motion_map, write_motion_maps

from mmspd.datasets.blur.folder import FolderPlan, synthesize_folder
from mmspd.datasets.blur.synthesis import BlurSpec, plan_blur
from mmspd.datasets.image_io import write_png
from mmspd.registry import build_model

SIZE = (48, 64)
SPECS = (BlurSpec((4.0, 4.0)), BlurSpec((9.0, 9.0)))


@pytest.fixture(scope='module')
def sharp():
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)


@pytest.fixture(scope='module')
def exposure(sharp):
    return plan_blur(sharp, np.random.default_rng(3), SPECS[1]).exposure


def test_the_map_is_the_square_root_of_the_covariance_of_the_displacement(exposure):
    found = motion_map(exposure, SIZE)
    for y, x in ((0, 0), (20, 50), (47, 63)):
        moved = exposure.layers[0].matrices @ (x, y, 1)  # (T, 2)
        covariance = np.cov(moved.T, aweights=exposure.weights, bias=True)
        values, vectors = np.linalg.eigh(covariance)
        root = vectors @ np.diag(np.sqrt(values)) @ vectors.T
        expected = (np.trace(root), root[0, 0] - root[1, 1], 2 * root[0, 1])
        assert found[y, x] == pytest.approx(expected, abs=1e-6)


def test_a_map_belongs_to_the_blur_of_its_pair(sharp, tmp_path):
    write_png(tmp_path / 'photos' / 'cat.png', sharp)
    plan = FolderPlan(SPECS, per_image=2, train_share=1.0, seed=5, in_turn=True)
    synthesize_folder(tmp_path / 'photos', tmp_path / 'pairs', plan)
    write_motion_maps(tmp_path / 'pairs', tmp_path / 'photos', SPECS)
    folder = tmp_path / 'pairs' / 'train'
    records = [json.loads(line) for line in (folder / 'records.jsonl').read_text().splitlines()]
    for record in records:
        sample = {
            'gt': sharp,
            'gt_path': str(folder / 'cat' / 'sharp' / f'{record["key"][-6:]}.png'),
        }
        packed = PackMotion()(LoadMotion()(sample))
        assert np.array_equal(packed['gt'], sharp)
        rng = np.random.default_rng(np.random.SeedSequence(record['seed']))
        exposure = plan_blur(sharp, rng, SPECS[int(record['key'][-1])]).exposure
        expected = motion_map(exposure, SIZE).transpose(2, 0, 1)
        assert np.abs(packed['motion'].numpy() - expected).max() <= 0.5 / 16 + 1e-6


def test_the_signs_follow_flips_and_transpositions(exposure, sharp):
    """The map of a mirrored exposure is the map that the flips of a sample give."""
    encoded = np.clip(np.rint(motion_map(exposure, SIZE) * 16 + (0, 128, 128)), 0, 255)
    gt = np.concatenate([sharp, encoded.astype(np.uint8)], axis=2)
    plain = PackMotion()(dict(gt=gt))['motion']
    flips = [dict(flip=True), dict(flip=False)]
    mirrored = PackMotion()(dict(gt=gt[:, ::-1], flip_infos=flips))['motion']
    assert torch.equal(mirrored[0], plain[0].flip(1))
    assert torch.equal(mirrored[1], plain[1].flip(1))
    assert torch.equal(mirrored[2], -plain[2].flip(1))
    turned = PackMotion()(dict(gt=gt.transpose(1, 0, 2), flip_infos=[], transpose=True))['motion']
    assert torch.equal(turned[0], plain[0].T)
    assert torch.equal(turned[1], -plain[1].T)
    assert torch.equal(turned[2], plain[2].T)
    # a vertical line, seen from the side, is a horizontal line
    assert float(plain[1].abs().max()) > 0.5


@pytest.mark.parametrize('kind', ['MotionOnly', 'SPLWithMotion'])
def test_the_motion_reaches_the_result(kind):
    init_default_scope('mmagic')
    prior = dict(type=f'mmspd.{kind}')
    if kind == 'SPLWithMotion':
        prior['extractor'] = dict(type='mmspd.ConvExtractor', width=8, num_blocks=(1, 1, 1))
    model = build_model(
        dict(
            type='mmspd.MotionDeblurrer',
            generator=dict(
                type='mmspd.SemanticGuided',
                restorer=dict(type='mmspd.UNet', base=4, num_res=1),
                prior=prior,
                embedding=dict(type='mmspd.SPE'),
            ),
            losses=dict(loss_pix=dict(type='mmagic.L1Loss')),
        )
    )
    for fusion in model.generator.embedding.fusions.values():  # SAT starts as the identity
        torch.nn.init.normal_(fusion.sigma[-1].weight, std=0.1)
    blurry, sharp = torch.rand(2, 3, 33, 40), torch.rand(2, 3, 33, 40)

    def loss(motion):
        from mmagic.structures import DataSample

        sample = DataSample(gt_img=sharp, motion=motion)
        return model(blurry, sample, mode='loss')['loss_pix']

    motion = torch.rand(2, 3, 33, 40)
    assert loss(motion) == loss(motion.clone())
    assert loss(motion) != loss(2 * motion)
    model.generator.prior.embeddings.requires_grad_(True)
    loss(motion).backward()
    assert all(part[0].weight.grad.abs().sum() > 0 for part in model.generator.prior.embeddings)
