"""PSNR and SSIM of a pair that is aligned first, as the RealBlur benchmark defines them."""

from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Deque, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np

from mmspd.errors import UserError
from mmspd.evaluation.metrics.base import ImageMetric, MetricInfo, key_of
from mmspd.evaluation.metrics.functional import SSIM_TAPS, ssim_map_2d
from mmspd.registry import METRICS
from mmspd.utils.parallel import WORKER_KILLED, clean_pool

__all__ = ['AlignedScores', 'RealBlurAligned', 'aligned_scores']

#: Images that may wait for each process; more would only take memory.
_WAITING = 2

_CRITERIA = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 0.0)
_GAUSSIAN_TAPS = 5


class AlignedScores(NamedTuple):
    """What an aligned pair measures.

    Args:
        psnr: In dB.
        ssim: 2-D, at most 1.
        failed: 1 where no alignment was found, so that the pair was compared as it is; else 0.
    """

    psnr: float
    ssim: float
    failed: int


def aligned_scores(restored: np.ndarray, sharp: np.ndarray) -> AlignedScores:
    """Compare images up to brightness and a homography.

    The restored image is scaled to the sharp one by least squares, then warped by the homography
    of highest correlation (``cv2.findTransformECC``); what it does not cover is left out. The
    numbers move with OpenCV's versions by some 0.01 dB.

    Args:
        restored: RGB, uint8, shape (H, W, 3), both sides at least 11.
        sharp: Likewise, same shape.

    Returns:
        The scores. Where the search does not converge, or ends outside the image, nothing is
        warped.

    Raises:
        UserError: The images are smaller than SSIM's window.

    Source: the evaluation script of Rim et al., "Real-World Blur Dataset for Learning and
    Benchmarking Deblurring Algorithms", ECCV 2020.
    """
    image, target = (np.float32(1 / 255) * each.astype(np.float32) for each in (restored, sharp))
    energy = np.sum(image * image, dtype=np.float64)
    if energy > 0:
        image *= np.float32(np.sum(image * target, dtype=np.float64) / energy)
    border = SSIM_TAPS // 2
    homography, failed = _find_homography(image, target)
    image_there, mask = _warp(image, homography)
    if not mask[border:-border, border:-border].any():
        failed, (image_there, mask) = True, _warp(image, np.eye(3, dtype=np.float32))
    image, target = image_there * mask, target * mask
    error = np.sum((image - target) ** 2, dtype=np.float64) / np.sum(mask, dtype=np.float64) / 3
    similarity = ssim_map_2d(image, target, peak=1.0)
    inner = mask[border:-border, border:-border]
    ssim = np.sum(similarity * inner) / np.sum(inner, dtype=np.float64) / 3
    psnr = float(-10 * np.log10(error)) if error else np.inf
    return AlignedScores(psnr, float(ssim), int(failed))


def _find_homography(image: np.ndarray, target: np.ndarray) -> Tuple[np.ndarray, bool]:
    """Find where the pixels of the target are in the image; the identity where it fails."""
    gray = [cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (target, image)]
    start = np.eye(3, dtype=np.float32)
    try:
        _, homography = cv2.findTransformECC(  # type: ignore[call-overload]  # its stub wants a mask
            *gray, start, cv2.MOTION_HOMOGRAPHY, _CRITERIA, None, _GAUSSIAN_TAPS
        )
    except cv2.error as error:
        if error.code != cv2.Error.StsNoConv:
            raise
        return np.eye(3, dtype=np.float32), True  # the start was changed on the way
    return homography, False


def _warp(image: np.ndarray, homography: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Warp an image, and a mask of shape (H, W, 1) that is 1 where it comes from inside."""
    size = image.shape[1::-1]
    warped = cv2.warpPerspective(
        image,
        homography,
        size,
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )
    mask = cv2.warpPerspective(
        np.ones(image.shape[:2], np.float32),
        homography,
        size,
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    return warped, mask[..., None]


@METRICS.register_module()
class RealBlurAligned(ImageMetric):
    """``PSNR-aligned`` and ``SSIM-aligned`` of the RealBlur benchmark, means over the images.

    See :func:`aligned_scores`. An image that cannot be aligned is compared as it is, counted in
    ``aligned-failed`` and named in the log; one that equals its sharp image is left out of the mean
    of ``PSNR-aligned``, which is infinite. An alignment takes seconds: images are handed to
    processes as they come, and awaited when the evaluation ends.

    Args:
        workers: Processes of each rank; 0 is the one that tests.
        **common: Arguments of :class:`ImageMetric`.

    Raises:
        UserError: ``workers`` is negative; or, later, a process was killed.
    """

    info = {
        'PSNR-aligned': MetricInfo(True, 2, 'dB', package='cv2'),
        'SSIM-aligned': MetricInfo(True, package='cv2'),
        'aligned-failed': MetricInfo(None),
    }

    def __init__(self, workers: int = 4, **common: Any) -> None:
        super().__init__(**common)
        if workers < 0:
            raise UserError(f'RealBlurAligned needs workers=0 or more, not {workers}')
        self.workers = workers
        self._pool: Optional[ProcessPoolExecutor] = None
        self._waiting: Deque[Tuple[Dict[str, Any], Future]] = deque()

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Measure every image of a batch, or hand it to a process.

        Args:
            data_batch: Not used.
            data_samples: The model's predictions, as dicts.
        """
        if not self.workers:
            super().process(data_batch, data_samples)
            return
        with self._stop_on_error():
            self._pool = self._pool or clean_pool(self.workers)
            for sample in data_samples:
                pair = self.image_pair(sample, 'pred_img')
                self.results.append({'key': key_of(sample)})
                self._waiting.append((self.results[-1], self._pool.submit(aligned_scores, *pair)))
            self._take_results(_WAITING * self.workers)

    def measure(self, sample: dict) -> Dict[str, Any]:
        """Align and measure the prediction."""
        return dict(zip(self.info, aligned_scores(*self.image_pair(sample, 'pred_img'))))

    def evaluate(self, size: int) -> dict:
        """Wait for the processes, then average over the images of all ranks.

        Args:
            size: Length of the data set.
        """
        with self._stop_on_error():
            self._take_results(0)
        self._stop()
        return super().evaluate(size)

    def average(self, results: List[Dict[str, Any]]) -> Dict[str, float]:
        """Average over the images, and count and name those that could not be aligned."""
        means = super().average(results)
        failed = [result['key'] for result in results if result['aligned-failed']]
        means['aligned-failed'] = len(failed)
        if failed:
            self.warn(
                f'{len(failed)} of {len(results)} images could not be aligned and were compared '
                f'as they are: {", ".join(failed)}'
            )
        return means

    def _take_results(self, keep: int) -> None:
        """Take the oldest results until no more than ``keep`` are waited for."""
        while len(self._waiting) > keep:
            result, future = self._waiting.popleft()
            result.update(zip(self.info, future.result()))

    @contextmanager
    def _stop_on_error(self) -> Iterator[None]:
        """End the processes after an error, and say what it means that one of them has died."""
        try:
            yield
        except BaseException as error:
            self._stop()
            self.results.clear()
            if isinstance(error, BrokenProcessPool):
                raise UserError(f'RealBlurAligned: {WORKER_KILLED}') from error
            raise

    def _stop(self) -> None:
        """End the processes; what waits is not begun."""
        self._waiting.clear()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
