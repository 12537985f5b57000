"""RealBlur's aligned PSNR and SSIM for MMEngine's loops, in processes of their own."""

import logging
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Deque, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from mmengine.logging import print_log

from mmspd.errors import UserError
from mmspd.evaluation.metrics.alignment import aligned_scores
from mmspd.evaluation.metrics.base import ImageMetric, MetricInfo, key_of
from mmspd.registry import METRICS
from mmspd.utils.parallel import WORKER_KILLED, clean_pool

__all__ = ['RealBlurAligned']

#: Images that may wait for each process; more would only take memory.
_WAITING = 2


@METRICS.register_module()
class RealBlurAligned(ImageMetric):
    """``PSNR-aligned`` and ``SSIM-aligned`` of the RealBlur benchmark, means over the images.

    See :func:`~mmspd.evaluation.metrics.alignment.aligned_scores`. An image that cannot be aligned
    is compared as it is, counted in ``aligned-failed`` and named in the log; one that equals its
    sharp image is left out of the mean of ``PSNR-aligned``, which is infinite. An alignment takes
    seconds: images are handed to processes as they come, and awaited when the evaluation ends.

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
                self._waiting.append((self.results[-1], self._pool.submit(_measure, *pair)))
            self._take_results(_WAITING * self.workers)

    def measure(self, sample: dict) -> Dict[str, Any]:
        """Align and measure the prediction."""
        return _measure(*self.image_pair(sample, 'pred_img'))

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
            print_log(
                f'{len(failed)} of {len(results)} images could not be aligned and were compared '
                f'as they are: {", ".join(failed)}',
                'current',
                logging.WARNING,
            )
        return means

    def _take_results(self, keep: int) -> None:
        """Take the oldest results until no more than ``keep`` are waited for."""
        while len(self._waiting) > keep:
            result, future = self._waiting.popleft()
            result.update(future.result())

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


def _measure(restored: np.ndarray, sharp: np.ndarray) -> Dict[str, Any]:
    """Measure a pair, by the names of the report."""
    scores = aligned_scores(restored, sharp)
    return {
        'PSNR-aligned': scores.psnr,
        'SSIM-aligned': scores.ssim,
        'aligned-failed': int(scores.failed),
    }
