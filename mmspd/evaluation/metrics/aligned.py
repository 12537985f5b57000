"""PSNR and SSIM of aligned pairs, as defined by the RealBlur benchmark."""

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

#: Largest number of images per worker process that are queued or in progress. A longer queue would
#: only use memory.
_WAITING = 2

_CRITERIA = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 0.0)
_GAUSSIAN_TAPS = 5


class AlignedScores(NamedTuple):
    """Scores of an aligned pair.

    Attributes:
        psnr: PSNR in dB.
        ssim: 2-D SSIM, at most 1.
        failed: 1 if no alignment was found and the pair was compared without alignment, else 0.
    """

    psnr: float
    ssim: float
    failed: int


def aligned_scores(restored: np.ndarray, sharp: np.ndarray) -> AlignedScores:
    """Compute PSNR and SSIM after fitting the brightness and a homography.

    The brightness of the restored image is scaled to that of the sharp image with least squares.
    Then the restored image is warped with the homography that has the highest correlation
    (``cv2.findTransformECC``). Pixels outside the warped image are excluded. The PSNR differs by
    about 0.01 dB between versions of OpenCV.

    Args:
        restored: RGB, uint8, shape (H, W, 3), both sides at least 11.
        sharp: RGB, uint8, shape of ``restored``.

    Returns:
        The scores. If the search for the homography does not converge or ends outside the image,
        the restored image is not warped.

    Raises:
        UserError: The images are smaller than the window of SSIM.

    Source: Evaluation script of Rim et al., "Real-World Blur Dataset for Learning and Benchmarking
    Deblurring Algorithms", ECCV 2020.

    Examples:
        >>> import numpy as np
        >>> from skimage import data
        >>> from mmspd.evaluation.metrics import aligned_scores, psnr
        >>> sharp = data.astronaut()[:128, 160:288]
        >>> shifted = np.roll(sharp, 1, axis=1)
        >>> psnr(shifted, sharp) < 26, aligned_scores(shifted, sharp).psnr > 40
        (True, True)
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
    """Find the homography from the target to the image.

    Returns:
        The homography and False, or the identity and True if the search fails.
    """
    gray = [cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (target, image)]
    start = np.eye(3, dtype=np.float32)
    try:
        _, homography = cv2.findTransformECC(  # type: ignore[call-overload]  # stub needs a mask
            *gray, start, cv2.MOTION_HOMOGRAPHY, _CRITERIA, None, _GAUSSIAN_TAPS
        )
    except cv2.error as error:
        if error.code != cv2.Error.StsNoConv:
            raise
        return np.eye(3, dtype=np.float32), True  # not `start`, which OpenCV has changed
    return homography, False


def _warp(image: np.ndarray, homography: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Warp an image.

    Returns:
        The warped image, and a mask (H, W, 1) that is 1 where a pixel comes from inside the image.
    """
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
    """``PSNR-aligned`` and ``SSIM-aligned`` of the RealBlur benchmark, averaged over images.

    See :func:`aligned_scores`. An image that cannot be aligned is compared without alignment,
    counted in ``aligned-failed`` and named in the log. An image that equals its sharp image has an
    infinite ``PSNR-aligned`` and is excluded from the mean. Because an alignment takes seconds,
    worker processes align the images while the test continues.

    Args:
        workers: Number of worker processes of each rank. 0 aligns in the test process.
        **common: Arguments of :class:`ImageMetric`.

    Raises:
        UserError: ``workers`` is negative, or a worker process was killed.

    Examples:
        >>> import torch
        >>> from mmspd.evaluation import RealBlurAligned
        >>> sharp = torch.arange(3 * 32 * 32).reshape(3, 32, 32) % 251.0
        >>> metric = RealBlurAligned(workers=0)
        >>> metric.process(None, [dict(output=dict(pred_img=sharp * 0.9), gt_img=sharp)])
        >>> sorted(metric.evaluate(size=1))
        ['PSNR-aligned', 'SSIM-aligned', 'aligned-failed']
    """

    info = {
        'PSNR-aligned': MetricInfo(True, 2, 'dB', package='cv2'),
        'SSIM-aligned': MetricInfo(True, package='cv2'),
        'aligned-failed': MetricInfo(None),
    }

    def __init__(self, workers: int = 4, **common: Any) -> None:
        super().__init__(**common)
        if workers < 0:
            raise UserError(f'RealBlurAligned.workers={workers} is negative; use 0 or more.')
        self.workers = workers
        self._pool: Optional[ProcessPoolExecutor] = None
        self._waiting: Deque[Tuple[Dict[str, Any], Future]] = deque()

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Measure every image of a batch, or pass it to a worker process.

        Args:
            data_batch: Not used.
            data_samples: Predictions of the model, as dicts.

        Raises:
            UserError: A worker process was killed, or an image is missing or has the wrong size.
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
        """Align and measure the prediction of one image.

        Args:
            sample: A data sample as a dict.

        Returns:
            A dict with ``PSNR-aligned`` in dB, ``SSIM-aligned`` and ``aligned-failed``.
        """
        return dict(zip(self.info, aligned_scores(*self.image_pair(sample, 'pred_img'))))

    def evaluate(self, size: int) -> dict:
        """Wait for the worker processes, then average over the images of all ranks.

        Args:
            size: Number of images in the data set.

        Returns:
            A dict from names to means.

        Raises:
            UserError: A worker process was killed.
        """
        with self._stop_on_error():
            self._take_results(0)
        self._stop()
        return super().evaluate(size)

    def average(self, results: List[Dict[str, Any]]) -> Dict[str, float]:
        """Average over the images, and count and name the images that could not be aligned.

        Args:
            results: Values of each image.

        Returns:
            A dict from names to means. ``aligned-failed`` is the number of failures.
        """
        means = super().average(results)
        failed = [result['key'] for result in results if result['aligned-failed']]
        means['aligned-failed'] = len(failed)
        if failed:
            self.warn(
                f'{len(failed)} of {len(results)} images could not be aligned and were compared '
                f'without alignment: {", ".join(failed)}.'
            )
        return means

    def _take_results(self, keep: int) -> None:
        """Store the results of the oldest images until at most ``keep`` images are waiting."""
        while len(self._waiting) > keep:
            result, future = self._waiting.popleft()
            result.update(zip(self.info, future.result()))

    @contextmanager
    def _stop_on_error(self) -> Iterator[None]:
        """On an error, stop the worker processes. Raise a clear error if one was killed."""
        try:
            yield
        except BaseException as error:
            self._stop()
            self.results.clear()
            if isinstance(error, BrokenProcessPool):
                raise UserError(f'RealBlurAligned: {WORKER_KILLED}') from error
            raise

    def _stop(self) -> None:
        """Stop the worker processes and drop the waiting images."""
        self._waiting.clear()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
