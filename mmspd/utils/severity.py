"""How severe a blur is, by its extent."""

import math
from typing import Tuple

__all__ = ['SEVERITIES', 'severity_of']

#: Range of the blur extent by severity, as a share of sqrt(H * W): at 1280x720 pixels 8-15, 15-31
#: and 31-61 pixels, at 481x321 3-6, 6-13 and 13-25.
SEVERITIES = {'mild': (0.008, 0.016), 'moderate': (0.016, 0.032), 'severe': (0.032, 0.064)}


def severity_of(extent: float, size: Tuple[int, int]) -> str:
    """Name the severity of a blur; beyond all ranges it is the nearest one's.

    Args:
        extent: Diameter of a point's path, in pixels.
        size: Height and width of the image.
    """
    share = extent / math.sqrt(size[0] * size[1])
    return next((name for name, (_, high) in SEVERITIES.items() if share <= high), 'severe')
