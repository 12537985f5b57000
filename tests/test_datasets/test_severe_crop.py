"""Crops that prefer severe blur."""

import cv2
import numpy as np
import pytest
from mmengine.registry import DefaultScope
from skimage import data

from mmspd.datasets import SevereCrop
from mmspd.datasets.blur.synthesis import BlurSpec, synthesize_blur
from mmspd.datasets.transforms.crop import crop_severity
from mmspd.errors import UserError
from mmspd.registry import TRANSFORMS


@pytest.fixture(scope='module')
def sharp():
    """A real photo, 192x128."""
    return cv2.resize(data.coffee(), (192, 128), interpolation=cv2.INTER_AREA)


def panned(sharp, length):
    spec = BlurSpec((length, length), 'panning', noise=(0.005, 0.005))
    return synthesize_blur(sharp, np.random.default_rng(0), spec)[0]


@pytest.fixture(scope='module')
def half_blurred(sharp):
    """A pair with a blur of 1.5 pixels in the left half and 9 pixels in the right half."""
    blurry = panned(sharp, 1.5)
    blurry[:, 96:] = panned(sharp, 9)[:, 96:]
    for image in (blurry, sharp):
        image.setflags(write=False)
    return dict(img=blurry, gt=sharp, img_path='b.png', gt_path='s.png', scale=1)


def places(pair, draws=300, **arguments):
    """Return (top, left) of random crops, found by the pixels of their first row."""
    sharp = pair['gt']
    known = {
        sharp[top, left : left + 32].tobytes(): (top, left)
        for top in range(128 - 31)
        for left in range(192 - 31)
    }
    assert len(known) == (128 - 31) * (192 - 31)
    crop = SevereCrop(32, **arguments)
    np.random.seed(0)
    corners = []
    for _ in range(draws):
        made = crop(dict(pair))
        top, left = known[made['gt'][0].tobytes()]
        np.testing.assert_array_equal(made['gt'], sharp[top : top + 32, left : left + 32])
        np.testing.assert_array_equal(made['img'], pair['img'][top : top + 32, left : left + 32])
        corners.append((top, left))
    return np.array(corners)


def test_severe_parts_are_drawn_more_often(half_blurred):
    """Crops that start at column 80 or later show mostly the severe half."""
    shares = [
        np.mean(places(half_blurred, **arguments)[:, 1] >= 80)
        for arguments in (
            dict(preference=0),
            dict(preference=1),
            dict(),
            dict(candidates=12),
        )
    ]
    assert shares[0] == pytest.approx(81 / 161, abs=0.08)
    assert shares[1] > shares[0] + 0.08
    assert shares[2] > shares[1] + 0.05
    assert shares[3] > shares[2] + 0.03


def test_without_preference_it_is_a_uniform_random_crop(half_blurred):
    corners = places(half_blurred, draws=600, preference=0)
    for axis, count in ((0, 97), (1, 161)):
        assert corners[:, axis].min() < 4
        assert corners[:, axis].max() > count - 5
        assert corners[:, axis].mean() == pytest.approx((count - 1) / 2, abs=count * 0.05)


def test_one_candidate_is_the_crop_of_mmagic(half_blurred):
    import mmagic.datasets.transforms  # noqa: F401

    with DefaultScope.overwrite_default_scope('mmagic'):
        reference = TRANSFORMS.build(dict(type='mmagic.PairedRandomCrop', gt_patch_size=32))
    for seed in range(5):
        np.random.seed(seed)
        expected = reference(dict(half_blurred))
        np.random.seed(seed)
        made = SevereCrop(32, candidates=1)(dict(half_blurred))
        for key in ('img', 'gt'):
            np.testing.assert_array_equal(made[key], expected[key])


def test_crops_are_copies(half_blurred):
    made = SevereCrop(128)(dict(half_blurred))
    for key in ('img', 'gt'):
        assert not np.shares_memory(made[key], half_blurred[key])
        made[key][:] = 0
    assert half_blurred['gt'].any()


def test_measure_grows_with_the_blur_for_any_texture(sharp):
    lengths = (1, 3, 6, 12)
    parts = [np.s_[8:72, 20:84], np.s_[60:124, 110:174]]
    severities = np.array(
        [[crop_severity(panned(sharp, n)[p], sharp[p]) for n in lengths] for p in parts]
    )
    assert (np.diff(severities, axis=1) > 0.1).all()
    # half the contrast gives about the same severity; a flat crop gives a low severity
    dull = (sharp // 2 + 60).astype(np.uint8)
    part = parts[0]
    assert crop_severity(panned(dull, 12)[part], dull[part]) == pytest.approx(
        severities[0, 3], rel=0.25
    )
    flat = np.full((64, 64, 3), 128, np.uint8)
    assert crop_severity(panned(flat, 12), flat) < severities[:, 3].min()  # only noise
    assert 0 < crop_severity(flat, flat) < severities[:, 0].min()


@pytest.mark.parametrize('side', [2, 5, 31, 64, 100])
def test_any_side_is_measured(sharp, side):
    part = np.s_[20 : 20 + side, 30 : 30 + side]
    blurry = panned(sharp, 9)
    assert crop_severity(blurry[part], sharp[part]) > crop_severity(sharp[part], sharp[part])


def test_mistakes_are_reported(half_blurred):
    with pytest.raises(
        UserError, match=r"s\.png' is 192x128 pixels, smaller than the training crop of 129"
    ):
        SevereCrop(129)(dict(half_blurred))
    with pytest.raises(UserError, match='at least 1 candidate'):
        SevereCrop(32, candidates=0)
    with pytest.raises(UserError, match='preference=-1'):
        SevereCrop(32, preference=-1)
