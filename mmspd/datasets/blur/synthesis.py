"""Blurry photos made from sharp ones, by adding up what the sensor would have seen."""

from dataclasses import dataclass
from typing import Optional, Tuple, Union

import cv2
import numpy as np

from mmspd.datasets.blur.camera_path import grid_points, path_extents, random_motion
from mmspd.datasets.blur.exposure import Box, Exposure, MovingRegion
from mmspd.errors import UserError
from mmspd.utils.severity import SEVERITIES, severity_of

__all__ = ['KINDS', 'MIN_SIDE', 'BlurRecord', 'BlurSpec', 'synthesize_blur']

KINDS = ('trajectory', 'panning')

#: Shortest side of a photo, in pixels.
MIN_SIDE = 32

_GAMMA = 2.2
_CLIPPED = 250  # from this value on a photo's highlight was brighter than the file can say


@dataclass(frozen=True)
class BlurSpec:
    """What blur to make.

    Args:
        severity: A key of ``SEVERITIES``, or the range of the extent in pixels.
        kind: ``'trajectory'``, a shaken camera, varying over the image by rotation and zoom; or
            ``'panning'``, a camera that turns evenly: the same horizontal line everywhere.
        moving_regions: Soft-edged regions, up to so many, that move on their own; trajectory only.
        noise: Range of the standard deviation of Gaussian noise, as a share of white.
        highlight_gain: Range of the factor by which clipped highlights outshine white while they
            move; above 1 they leave bright streaks.

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
            raise UserError(f"the kind of blur is one of {', '.join(KINDS)}, not '{self.kind}'")
        if isinstance(self.severity, str):
            if self.severity not in SEVERITIES:
                raise UserError(
                    f"the severity is one of {', '.join(SEVERITIES)}, not '{self.severity}'"
                )
        elif not 1 <= self.severity[0] <= self.severity[1]:
            raise UserError(
                f'the extent of the blur is a range MIN MAX of at least 1 pixel, '
                f'not {self.severity}'
            )
        if self.moving_regions < 0 or (self.moving_regions and self.kind != 'trajectory'):
            raise UserError(
                f"moving_regions={self.moving_regions} needs kind='trajectory' and is not negative"
            )
        for name, lowest in (('noise', 0), ('highlight_gain', 1)):
            low, high = getattr(self, name)
            if not lowest <= low <= high:
                raise UserError(f'{name} is a range MIN MAX from {lowest} up, not ({low}, {high})')


@dataclass(frozen=True)
class BlurRecord:
    """What blur was made.

    Args:
        severity: The key of ``SEVERITIES`` asked for, or the one that an extent asked for in pixels
            belongs to at this image size.
        kind: As in :class:`BlurSpec`.
        extent: Mean over what was made of the diameter of a point's path, in pixels.
        extent_max: The largest of them, without moving regions, in pixels.
        sub_frames: Number of images added up.
        moving_regions: Number of regions that moved on their own.
        noise: Standard deviation of the noise, as a share of white.
        highlight_gain: Factor of the clipped highlights.
    """

    severity: str
    kind: str
    extent: float
    extent_max: float
    sub_frames: int
    moving_regions: int
    noise: float
    highlight_gain: float


def synthesize_blur(
    sharp: np.ndarray, rng: np.random.Generator, spec: BlurSpec, box: Optional[Box] = None
) -> Tuple[np.ndarray, BlurRecord]:
    """Blur a sharp photo, or a part of it, as a moving camera would.

    Sub-frames at most a pixel apart are averaged in linear light (gamma 2.2), each weighted by the
    time the camera spent there, then noise is added, clipped and rounded. The mean displacement of
    the motion is zero, so that the sharp photo is aligned with the result. The border is continued
    by reflection. What a moving region uncovers is unknown: the photo goes on below its soft edge.

    A part is made as it looks in the whole photo, by the same motions and up to where the
    sub-frames stand and the noise, in time that depends on the part's size alone.

    Args:
        sharp: RGB, uint8, shape (H, W, 3), sides at least ``MIN_SIDE``; it is not changed.
        rng: Source of all randomness: the same state gives the same result.
        spec: What blur to make; its severity is meant for the whole photo.
        box: Part to make; by default the whole photo.

    Returns:
        The blurry photo or part, RGB, uint8, shape (H, W, 3), and the record of its blur.

    Raises:
        UserError: The photo is not uint8 RGB or too small.
    """
    _check_photo(sharp)
    size = sharp.shape[:2]
    box = box or Box(0, 0, size[1], size[0])
    extent = rng.uniform(*_extent_range(spec, size))
    noise = rng.uniform(*spec.noise)
    gain = rng.uniform(*spec.highlight_gain)
    regions = []
    if spec.kind == 'panning':
        light, frames = _pan(sharp, gain, extent, box)
        extents = np.array([extent])
    else:
        center = np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])
        camera = random_motion(rng, center, grid_points(size), extent)
        count = rng.integers(spec.moving_regions + 1)
        regions = [MovingRegion.random(rng, size, extent) for _ in range(count)]
        exposure = Exposure(camera, regions, box, size)
        light = exposure.add_up(_to_light(exposure.seen.of(sharp), gain))
        frames = len(exposure.weights)
        extents = path_extents(camera.displacement(box.points(5)))
    values = cv2.pow(np.clip(light, 0, 1), 1 / _GAMMA)
    values += np.float32(noise) * rng.standard_normal(values.shape, np.float32)
    blurry = np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)
    record = BlurRecord(
        severity=spec.severity if isinstance(spec.severity, str) else severity_of(extent, size),
        kind=spec.kind,
        extent=float(extents.mean()),
        extent_max=float(extents.max()),
        sub_frames=frames,
        moving_regions=len(regions),
        noise=float(noise),
        highlight_gain=float(gain),
    )
    return blurry, record


def panning_kernel(length: float) -> np.ndarray:
    """Return the weights of an even, centered line of a given length.

    Args:
        length: In pixels, at least 1; the pixels at both ends count by the part that is covered.

    Returns:
        float32, an odd number of weights with sum 1.
    """
    whole, part = divmod((length - 1) / 2, 1)
    weights = np.ones(2 * int(whole) + 1)
    if part:
        weights = np.pad(weights, 1, constant_values=part)
    return (weights / length).astype(np.float32)


def _check_photo(photo: np.ndarray) -> None:
    """Refuse what is no uint8 RGB photo of sufficient size."""
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
        raise UserError(
            f'a sharp photo is RGB uint8 of shape (H, W, 3), not {photo.dtype} of {photo.shape}'
        )
    if min(photo.shape[:2]) < MIN_SIDE:
        raise UserError(
            f'a sharp photo of {photo.shape[1]}x{photo.shape[0]} is too small to blur: '
            f'take photos of at least {MIN_SIDE}x{MIN_SIDE} pixels'
        )


def _extent_range(spec: BlurSpec, size: Tuple[int, int]) -> Tuple[float, float]:
    """Return the range of the extent in pixels, at least 1 pixel, which panning needs."""
    if not isinstance(spec.severity, str):
        return spec.severity
    low, high = (share * np.sqrt(size[0] * size[1]) for share in SEVERITIES[spec.severity])
    return max(low, 1.0), max(high, 1.0)


def _to_light(photo: np.ndarray, gain: float) -> np.ndarray:
    """Return the linear light of a photo, 1 for white, float32, shape (H, W, 3)."""
    curve = ((np.arange(256) / 255) ** _GAMMA).astype(np.float32)
    light = cv2.LUT(photo, curve)
    if gain > 1:
        clipped = photo.max(axis=2, keepdims=True).astype(np.float32) - _CLIPPED
        light *= 1 + (gain - 1) * np.clip(clipped / (255 - _CLIPPED), 0, 1).astype(np.float32)
    return light


def _pan(photo: np.ndarray, gain: float, length: float, box: Box) -> Tuple[np.ndarray, int]:
    """Return the light of an evenly turning camera, (H, W, 3), and the number of sub-frames."""
    kernel = panning_kernel(length)
    reach = len(kernel) // 2
    seen = box._replace(left=box.left - reach, right=box.right + reach).reflected(photo.shape[:2])
    light = _to_light(seen.of(photo), gain)
    light = cv2.filter2D(light, -1, kernel[None], borderType=cv2.BORDER_REFLECT_101)
    return box.of(light, *seen[:2]), len(kernel)
