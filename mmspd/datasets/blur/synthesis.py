"""Make a blurry image from a sharp photo by averaging sub-frames in linear light."""

from dataclasses import dataclass
from typing import Optional, Tuple, Union

import cv2
import numpy as np

from mmspd.datasets.blur.camera_path import grid_points, path_extents, random_motion
from mmspd.datasets.blur.exposure import Box, Exposure, MovingRegion, Panning
from mmspd.errors import UserError
from mmspd.utils.severity import SEVERITIES, severity_of, share_of

__all__ = [
    'CLIPPED',
    'GAMMA',
    'KINDS',
    'MIN_SIDE',
    'BlurPlan',
    'BlurRecord',
    'BlurSpec',
    'expose',
    'plan_blur',
    'synthesize_blur',
]

KINDS = ('trajectory', 'panning')

#: Minimum side of a photo, in pixels.
MIN_SIDE = 32

#: Exponent from the values of a photo to linear light.
GAMMA = 2.2
#: Larger values of a photo are treated as clipped highlights.
CLIPPED = 250


@dataclass(frozen=True)
class BlurSpec:
    """Settings of a synthetic blur.

    Args:
        severity: ``'mild'``, ``'moderate'`` or ``'severe'``
            (:data:`~mmspd.utils.severity.SEVERITIES`), or a range of the extent in pixels, at least
            1. The extent is the mean diameter of the paths of the image points. Within a range in
            pixels, it is uniformly distributed. Within a severity, its logarithm is uniformly
            distributed, because small extents are more frequent in real data sets.
        kind: ``'trajectory'``: the camera shakes; rotation and zoom make the blur vary over the
            image. ``'panning'``: the camera turns evenly; the blur of every point is the same
            horizontal line.
        moving_regions: Maximum number of soft-edged regions with separate motions. Must be 0 if
            ``kind`` is ``'panning'``.
        noise: Range of the standard deviation of Gaussian noise, as a share of white, at least 0.
        highlight_gain: Range of the factor that brightens clipped highlights before averaging, at
            least 1. Above 1, moving highlights leave bright streaks.

    Raises:
        UserError: A value is out of its range.
    """

    severity: Union[str, Tuple[float, float]] = 'moderate'
    kind: str = 'trajectory'
    moving_regions: int = 0
    noise: Tuple[float, float] = (0.0, 0.01)
    highlight_gain: Tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UserError(f"kind='{self.kind}' is unknown; use one of {', '.join(KINDS)}.")
        if isinstance(self.severity, str):
            if self.severity not in SEVERITIES:
                raise UserError(
                    f"severity='{self.severity}' is unknown; use one of {', '.join(SEVERITIES)}."
                )
        elif not 1 <= self.severity[0] <= self.severity[1]:
            raise UserError(
                f'The extent {self.severity} of the blur is invalid; give a range MIN MAX of at '
                'least 1 pixel.'
            )
        if self.moving_regions < 0 or (self.moving_regions and self.kind != 'trajectory'):
            raise UserError(
                f"moving_regions={self.moving_regions} is invalid for kind='{self.kind}'; use "
                "kind='trajectory' and a number of at least 0."
            )
        for name, lowest in (('noise', 0), ('highlight_gain', 1)):
            low, high = getattr(self, name)
            if not lowest <= low <= high:
                raise UserError(
                    f'{name}=({low}, {high}) is invalid; give a range MIN MAX of at least {lowest}.'
                )


@dataclass(frozen=True)
class BlurRecord:
    """Properties of a synthesized blur.

    Attributes:
        severity: The severity of the spec. If the spec gives a range in pixels, this is the
            severity of the drawn extent in a photo of this size.
        kind: Kind of the blur, as in :class:`BlurSpec`.
        extent: Mean diameter of the paths of the points in the result, in pixels. Only the camera
            motion counts, not the moving regions.
        share: ``extent`` as a share of sqrt(H * W) of the photo.
        extent_max: Maximum diameter of the same paths, in pixels.
        sub_frames: Number of averaged sub-frames.
        moving_regions: Number of moving regions.
        noise: Standard deviation of the noise, as a share of white.
        highlight_gain: Factor that brightened the clipped highlights.
    """

    severity: str
    kind: str
    extent: float
    share: float
    extent_max: float
    sub_frames: int
    moving_regions: int
    noise: float
    highlight_gain: float


@dataclass(frozen=True)
class BlurPlan:
    """A drawn blur that is not computed yet.

    Attributes:
        record: Properties of the blur.
        exposure: The sub-frames.
        box: Box of the photo to compute.
    """

    record: BlurRecord
    exposure: Union[Exposure, Panning]
    box: Box


def synthesize_blur(
    sharp: np.ndarray, rng: np.random.Generator, spec: BlurSpec, box: Optional[Box] = None
) -> Tuple[np.ndarray, BlurRecord]:
    """Blur a sharp photo, or a box of it, with a random camera motion.

    A sub-frame is the photo at one instant of the motion. The sub-frames are averaged in linear
    light (gamma 2.2). Successive sub-frames are at most a pixel apart. The weight of a sub-frame is
    the time that the camera spends at this position. Then noise is added, and the values are
    rounded and clipped to 8 bits. The mean displacement is 0, so the sharp photo is aligned with
    the result. Borders are reflected. A moving region is blended over the photo with a soft edge.
    The background behind the region is unknown. The area that the region uncovers therefore shows
    the photo without the motion of the region.

    With ``box``, the motions are drawn for the whole photo, but only the pixels in the box are
    computed. The computing time depends only on the size of the box. If the whole photo is blurred
    instead, the same box differs only in the noise and in the positions of the sub-frames.

    Args:
        sharp: RGB, uint8, shape ``(H, W, 3)``, sides of at least ``MIN_SIDE``. Not modified.
        rng: Source of randomness. Equal states give equal results.
        spec: Settings of the blur. The severity applies to the whole photo.
        box: Box to compute; ``None`` for the whole photo.

    Returns:
        The blurry photo or box, RGB, uint8, shape ``(H, W, 3)``, and the record of the blur.

    Raises:
        UserError: The photo is not uint8 RGB, or it is too small.

    Examples:
        >>> import numpy as np
        >>> from mmspd.datasets.blur.synthesis import BlurSpec, synthesize_blur
        >>> rng = np.random.default_rng(0)
        >>> sharp = rng.integers(0, 256, (96, 128, 3), np.uint8)
        >>> blurry, record = synthesize_blur(sharp, rng, BlurSpec('severe', moving_regions=1))
        >>> blurry.shape, record.severity, record.extent > 3
        ((96, 128, 3), 'severe', True)
    """
    plan = plan_blur(sharp, rng, spec, box)
    return expose(plan, sharp, rng), plan.record


def plan_blur(
    sharp: np.ndarray, rng: np.random.Generator, spec: BlurSpec, box: Optional[Box] = None
) -> BlurPlan:
    """Draw a blur of a photo as :func:`synthesize_blur` does, without reading the pixels.

    Args:
        sharp: RGB, uint8, shape ``(H, W, 3)``, sides of at least ``MIN_SIDE``.
        rng: Source of randomness. Everything except the noise is drawn.
        spec: Settings of the blur.
        box: Box to compute; ``None`` for the whole photo.

    Returns:
        The plan.

    Raises:
        UserError: The photo is not uint8 RGB, or it is too small.
    """
    _check_photo(sharp)
    size = sharp.shape[:2]
    box = box or Box(0, 0, size[1], size[0])
    extent = _draw_extent(rng, spec, size)
    noise = rng.uniform(*spec.noise)
    gain = rng.uniform(*spec.highlight_gain)
    exposure: Union[Exposure, Panning]
    regions = []
    if spec.kind == 'panning':
        exposure, extents = Panning(extent, box, size), np.array([extent])
    else:
        center = np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])
        camera = random_motion(rng, center, grid_points(size), extent)
        count = rng.integers(spec.moving_regions + 1)
        regions = [MovingRegion.random(rng, size, extent) for _ in range(count)]
        exposure = Exposure(camera, regions, box, size)
        extents = path_extents(camera.displacement(box.points(5)))
    record = BlurRecord(
        severity=spec.severity if isinstance(spec.severity, str) else severity_of(extent, size),
        kind=spec.kind,
        extent=float(extents.mean()),
        share=share_of(float(extents.mean()), size),
        extent_max=float(extents.max()),
        sub_frames=len(exposure.weights),
        moving_regions=len(regions),
        noise=float(noise),
        highlight_gain=float(gain),
    )
    return BlurPlan(record, exposure, box)


def expose(plan: BlurPlan, sharp: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Compute a planned blur.

    Args:
        plan: The drawn blur.
        sharp: The photo for which it was drawn, RGB, uint8, shape ``(H, W, 3)``. Not modified.
        rng: Source of the noise.

    Returns:
        The blurry photo or box, RGB, uint8, shape ``(H, W, 3)``.
    """
    exposure, record = plan.exposure, plan.record
    light = exposure.add_up(_to_light(exposure.seen.of(sharp), record.highlight_gain))
    values = cv2.pow(np.clip(light, 0, 1), 1 / GAMMA)
    values += np.float32(record.noise) * rng.standard_normal(values.shape, np.float32)
    return np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)


def _check_photo(photo: np.ndarray) -> None:
    """Check that a photo is uint8 RGB and large enough."""
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
        raise UserError(
            f'The sharp photo is {photo.dtype} of shape {photo.shape}; give RGB uint8 of shape '
            '(H, W, 3).'
        )
    if min(photo.shape[:2]) < MIN_SIDE:
        raise UserError(
            f'The sharp photo has only {photo.shape[1]}x{photo.shape[0]} pixels; give photos of at '
            f'least {MIN_SIDE}x{MIN_SIDE} pixels.'
        )


def _draw_extent(rng: np.random.Generator, spec: BlurSpec, size: Tuple[int, int]) -> float:
    """Draw the extent in pixels, at least 1, as panning_kernel requires."""
    if not isinstance(spec.severity, str):
        return rng.uniform(*spec.severity)
    low, high = (share * np.sqrt(size[0] * size[1]) for share in SEVERITIES[spec.severity])
    return float(np.exp(rng.uniform(*np.log(np.maximum((low, high), 1)))))


def _to_light(photo: np.ndarray, gain: float) -> np.ndarray:
    """Convert a photo to linear light, 1 for white, float32, shape ``(H, W, 3)``."""
    curve = ((np.arange(256) / 255) ** GAMMA).astype(np.float32)
    light = cv2.LUT(photo, curve)
    if gain > 1:
        clipped = photo.max(axis=2, keepdims=True).astype(np.float32) - CLIPPED
        light *= 1 + (gain - 1) * np.clip(clipped / (255 - CLIPPED), 0, 1).astype(np.float32)
    return light
