import os
import signal
import time

import cv2
import numpy as np
import pytest
from samples import evaluate, mmengine_log, sample
from skimage.metrics import structural_similarity

from mmspd.errors import UserError
from mmspd.evaluation.metrics import RealBlurAligned, aligned, aligned_scores, psnr

SIZE = 72, 90
WARPS = {
    'identity': [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    'shifted': [[1, 0, 1.7], [0, 1, -1.2], [0, 0, 1]],
    'scaled': [[1.012, 0, 0.3], [0, 1.012, 0], [0, 0, 1]],
    'rotated': [[np.cos(0.01), -np.sin(0.01), 0.5], [np.sin(0.01), np.cos(0.01), 0], [0, 0, 1]],
    'tilted': [[1, 0.004, 0], [0, 1, 0.4], [0, 1e-4, 1]],
}


@pytest.fixture(scope='module')
def photo():
    """A photo-like image with soft edges, shape (H, W, 3), uint8."""
    rng = np.random.default_rng(3)
    coarse = rng.uniform(20, 235, (SIZE[0] // 9, SIZE[1] // 9, 3)).astype(np.float32)
    return (
        cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC).clip(0, 255).astype('uint8')
    )


def misaligned(image, warp, gain=0.93):
    """Return the image of a camera that has moved, slightly darker."""
    moved = cv2.warpPerspective(
        image,
        np.float32(warp),
        image.shape[1::-1],
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )
    return np.rint(moved * gain).astype(np.uint8)


def direct_scores(restored, sharp):
    """Implement the protocol again, with explicit coordinates and scikit-image's SSIM."""
    image, target = restored / 255.0, sharp / 255.0
    image = image * (target * image).sum() / (image * image).sum()
    homography = cv2.findTransformECC(
        cv2.cvtColor(target.astype(np.float32), cv2.COLOR_RGB2GRAY),
        cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2GRAY),
        np.eye(3, dtype=np.float32),
        cv2.MOTION_HOMOGRAPHY,
        (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 0),
        None,
        5,
    )[1].astype(float)
    height, width = target.shape[:2]
    places = np.stack([*np.meshgrid(np.arange(width), np.arange(height)), np.ones((height, width))])
    x, y, depth = np.einsum('ij,jhw->ihw', homography, places)
    x, y = x / depth, y / depth
    inside = (np.rint(x) >= 0) & (np.rint(x) < width) & (np.rint(y) >= 0) & (np.rint(y) < height)
    mask = inside[..., None] * np.ones(3)
    image, x, y = (array.astype(np.float32) for array in (image, x, y))
    image = cv2.remap(image, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT) * mask
    target = target * mask
    error = ((image - target) ** 2).sum() / mask.sum()
    _, similarity = structural_similarity(
        target,
        image,
        gaussian_weights=True,
        use_sample_covariance=False,
        data_range=1.0,
        channel_axis=2,
        full=True,
    )
    similarity, mask = (similarity * mask)[5:-5, 5:-5], mask[5:-5, 5:-5]
    ssim = (similarity.sum((0, 1)) / mask.sum((0, 1))).mean()
    return 10 * np.log10(1 / error), ssim, homography


@pytest.mark.skipif(
    cv2.__version__ < '5', reason='OpenCV 4 interpolates at multiples of 1/32 pixel'
)
@pytest.mark.parametrize('name', WARPS)
def test_scores_equal_a_direct_computation(photo, name):
    restored = misaligned(photo, WARPS[name])
    scores = aligned_scores(restored, photo)
    expected_psnr, expected_ssim, homography = direct_scores(restored, photo)
    assert not scores.failed
    assert scores.psnr == pytest.approx(expected_psnr, abs=1e-3)
    assert scores.ssim == pytest.approx(expected_ssim, abs=1e-6)
    # the homography inverts the warp to a fraction of a pixel
    np.testing.assert_allclose(homography @ WARPS[name], np.eye(3), atol=0.6)
    assert scores.psnr > psnr(restored, photo) + 15


@pytest.mark.parametrize('restored', ['noise', 'black'])
def test_images_that_cannot_be_aligned_are_compared_directly(photo, restored):
    noise = np.random.default_rng(0).integers(0, 256, photo.shape, dtype=np.uint8)
    restored = noise if restored == 'noise' else np.zeros_like(photo)
    scores = aligned_scores(restored, photo)
    assert scores.failed
    image, target = restored / 255.0, photo / 255.0
    gain = (image * target).sum() / max((image * image).sum(), 1e-9)
    expected = -10 * np.log10(np.mean((gain * image - target) ** 2))
    assert scores.psnr == pytest.approx(expected, abs=1e-4)
    assert 0 < scores.ssim < 0.5


def test_an_alignment_outside_the_image_has_failed(photo, monkeypatch):
    far = np.float32([[1, 0, 500], [0, 1, 0], [0, 0, 1]])
    monkeypatch.setattr(aligned, '_find_homography', lambda *_: (far, False))
    scores = aligned_scores(misaligned(photo, WARPS['identity']), photo)
    assert scores.failed
    assert scores.psnr > 40


def test_equal_images_have_high_scores(photo):
    scores = aligned_scores(photo, photo)
    assert scores.psnr > 60
    assert scores.ssim == pytest.approx(1, abs=1e-4)


@pytest.fixture(scope='module')
def samples(photo):
    """Three different samples. The third cannot be aligned."""
    restored = [misaligned(photo, WARPS[name]) for name in ('identity', 'shifted', 'rotated')]
    restored[2] = np.zeros_like(photo)
    return [sample(image, photo, key=f'scene/{n}') for n, image in enumerate(restored)]


@pytest.mark.slow
def test_worker_processes_keep_the_scores_and_end_afterwards(samples, caplog):
    single, several = RealBlurAligned(workers=0), RealBlurAligned(workers=2)
    with mmengine_log(caplog):
        expected = evaluate(single, samples * 3)
    assert '3 of 9 images could not be aligned' in caplog.text
    assert 'scene/2' in caplog.text
    several.process(None, samples * 3)
    workers = list(several._pool._processes)
    assert os.getpid() not in workers
    assert several.evaluate(9) == expected
    assert several.per_image == single.per_image
    assert list(several.per_image[2]) == ['key', 'PSNR-aligned', 'SSIM-aligned', 'aligned-failed']
    assert [image['aligned-failed'] for image in several.per_image] == [0, 0, 1] * 3
    assert expected['aligned-failed'] == 3
    assert expected['PSNR-aligned'] == pytest.approx(
        np.mean([image['PSNR-aligned'] for image in single.per_image])
    )
    assert all_ended(workers)
    # the metric can be used again
    assert evaluate(several, samples * 3) == expected


def test_an_image_without_error_leaves_a_finite_mean(samples, photo):
    black = np.zeros_like(photo)
    metric = RealBlurAligned(workers=0)
    means = evaluate(metric, [samples[0], sample(black, black)])
    first, second = (image['PSNR-aligned'] for image in metric.per_image)
    assert second == np.inf
    assert means['PSNR-aligned'] == first


@pytest.mark.slow
def test_no_process_is_left_after_an_error(samples, photo):
    metric = RealBlurAligned(workers=2)
    metric.process(None, samples)
    workers = list(metric._pool._processes)
    with pytest.raises(UserError, match='crop and resize both images in the same way'):
        metric.process(None, [sample(photo[:-1], photo)])
    assert all_ended(workers)
    metric.process(None, samples)
    assert metric.evaluate(3)['aligned-failed'] == 1  # counts the new images only

    metric = RealBlurAligned(workers=1)
    metric.process(None, samples)
    for worker in metric._pool._processes:
        os.kill(worker, signal.SIGKILL)
    with pytest.raises(UserError, match='RealBlurAligned: A worker process was killed'):
        metric.evaluate(3)
    with pytest.raises(UserError, match='workers=-1 is negative; use 0 or more'):
        RealBlurAligned(workers=-1)


def all_ended(processes, seconds=20):
    """Wait until the processes have ended. The server that started them removes them."""
    deadline = time.monotonic() + seconds
    while any(os.path.exists(f'/proc/{process}') for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
