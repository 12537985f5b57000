"""NIQE for MMEngine's loops."""

import warnings
from functools import cached_property
from typing import Any, Optional

import numpy as np

from mmspd.evaluation.metrics.base import MetricInfo
from mmspd.evaluation.metrics.no_reference import NoReferenceMetric
from mmspd.registry import METRICS, import_sibling

__all__ = ['NIQE']


@METRICS.register_module()
class NIQE(NoReferenceMetric):
    """``NIQE``: how far an image's statistics are from those of natural photos; lower is better.

    MMagic's implementation on the luma of YCbCr, which agrees with BasicSR's and MATLAB's. Images
    need two blocks of 96x96 pixels with structure.

    Args: see :class:`NoReferenceMetric`.

    Source: Mittal et al., "Making a 'Completely Blind' Image Quality Analyzer", IEEE SPL 2013.
    """

    name = 'NIQE'
    info = {'NIQE': MetricInfo(False, package='mmagic'), 'NIQE-input': MetricInfo(None)}

    @cached_property
    def _niqe(self) -> Any:
        import_sibling('mmagic')
        # without a prefix MMEngine warns; this metric makes no report
        return METRICS.build(dict(type='mmagic.NIQE', convert_to='y', prefix='NIQE'))

    def judge(self, image: np.ndarray) -> Optional[float]:
        """Measure NIQE; ``None`` where there are not enough blocks with structure."""
        try:
            with warnings.catch_warnings():
                # flat blocks have no statistics: NumPy warns, MMagic leaves them out
                warnings.simplefilter('ignore', RuntimeWarning)
                return float(self._niqe.process_image(None, image[..., ::-1], None))
        except np.linalg.LinAlgError:
            return None
