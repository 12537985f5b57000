"""Blurry photos made from sharp ones, by adding up what the sensor would have seen."""

from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Tuple, Union

import cv2
import numpy as np

from mmspd.datasets.camera_path import (
    Motion,
    grid_points,
    path_extents,
    random_motion,
    sub_frame_times,
)
from mmspd.errors import UserError
from mmspd.utils.severity import SEVERITIES, severity_of

__all__ = ['KINDS', 'MIN_SIDE', 'BlurRecord', 'BlurSpec', 'synthesize_blur']

KINDS = ('trajectory', 'panning')

#: Shortest side of a photo, in pixels.
MIN_SIDE = 32

_GAMMA = 2.2
_MIN_SUB_FRAMES = 13
_MAX_STEP = 1.0  # pixels between sub-frames; more would show as ghosts
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
        extent: Mean over the image of the diameter of a point's path, in pixels.
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

    def to_dict(self) -> Dict[str, Any]:
        """Return plain Python values, for JSON."""
        return asdict(self)


def synthesize_blur(
    sharp: np.ndarray, rng: np.random.Generator, spec: BlurSpec
) -> Tuple[np.ndarray, BlurRecord]:
    """Blur a sharp photo as a moving camera would.

    Sub-frames at most a pixel apart are averaged in linear light (gamma 2.2), each weighted by the
    time the camera spent there, then noise is added, clipped and rounded. The mean displacement of
    the motion is zero, so that the sharp photo is aligned with the result. The border is continued
    by reflection. What a moving region uncovers is unknown: the photo goes on below its soft edge.

    Args:
        sharp: RGB, uint8, shape (H, W, 3), sides at least ``MIN_SIDE``; it is not changed.
        rng: Source of all randomness: the same state gives the same result.
        spec: What blur to make.

    Returns:
        The blurry photo, RGB, uint8, shape (H, W, 3), and the record of its blur.

    Raises:
        UserError: The photo is not uint8 RGB or too small.
    """
    _check_photo(sharp)
    size = sharp.shape[:2]
    low, high = _extent_range(spec, size)
    extent = rng.uniform(low, high)
    noise = rng.uniform(*spec.noise)
    gain = rng.uniform(*spec.highlight_gain)
    light = _to_light(sharp, gain)
    regions = 0
    if spec.kind == 'panning':
        kernel = panning_kernel(extent)
        light = cv2.filter2D(light, -1, kernel[None], borderType=cv2.BORDER_REFLECT_101)
        extents, frames = np.array([extent]), len(kernel)
    else:
        points = grid_points(size)
        camera = random_motion(rng, _centre(size), points, extent)
        regions = int(rng.integers(spec.moving_regions + 1))
        moving = [_random_region(rng, size, extent) for _ in range(regions)]
        light, frames = _expose(light, camera, moving, points)
        extents = path_extents(camera.displacement(points))
    values = cv2.pow(np.clip(light, 0, 1), 1 / _GAMMA)
    values += np.float32(noise) * rng.standard_normal(values.shape, np.float32)
    blurry = np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)
    record = BlurRecord(
        severity=spec.severity if isinstance(spec.severity, str) else severity_of(extent, size),
        kind=spec.kind,
        extent=float(extents.mean()),
        extent_max=float(extents.max()),
        sub_frames=frames,
        moving_regions=regions,
        noise=float(noise),
        highlight_gain=float(gain),
    )
    return blurry, record


def panning_kernel(length: float) -> np.ndarray:
    """Return the weights of an even, centred line of a given length.

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


@dataclass(frozen=True)
class _Region:
    """A region that moves on its own.

    Args:
        mask: 1 within, 0 outside, shape (H, W).
        corners: (x, y) of its bounding box, shape (4, 2).
        motion: Its motion before a camera at rest.
    """

    mask: np.ndarray
    corners: np.ndarray
    motion: Motion


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


def _centre(size: Tuple[int, int]) -> np.ndarray:
    """Return the (x, y) of an image's centre."""
    return np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])


def _to_light(photo: np.ndarray, gain: float) -> np.ndarray:
    """Return the linear light of a photo, 1 for white, float32, shape (H, W, 3)."""
    curve = ((np.arange(256) / 255) ** _GAMMA).astype(np.float32)
    light = curve[photo]
    if gain > 1:
        clipped = photo.max(axis=2, keepdims=True).astype(np.float32) - _CLIPPED
        light *= 1 + (gain - 1) * np.clip(clipped / (255 - _CLIPPED), 0, 1).astype(np.float32)
    return light


def _random_region(rng: np.random.Generator, size: Tuple[int, int], extent: float) -> _Region:
    """Draw an ellipse with a soft edge, and a motion about half to one and a half the camera's."""
    centre = rng.uniform(0.15, 0.85, 2) * (size[1], size[0])
    radii = rng.uniform(0.1, 0.25, 2) * min(size)
    turn = rng.uniform(0, np.pi)
    y, x = np.mgrid[: size[0], : size[1]]
    x, y = x - centre[0], y - centre[1]
    along = (x * np.cos(turn) + y * np.sin(turn)) / radii[0]
    across = (y * np.cos(turn) - x * np.sin(turn)) / radii[1]
    # the edge fades over a quarter of the radius, half of it outside
    mask = np.clip((1 - np.hypot(along, across)) * 4 + 0.5, 0, 1).astype(np.float32)
    corners = centre + 1.125 * radii.max() * np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
    motion = random_motion(rng, centre, corners, extent * rng.uniform(0.5, 1.5))
    return _Region(mask, corners, motion)


def _steps(motion: Motion, points: np.ndarray) -> np.ndarray:
    """Return the longest way of any point between neighbouring instants, shape (T - 1,)."""
    moves = np.diff(motion.displacement(points), axis=0)
    return np.linalg.norm(moves, axis=2).max(axis=1)


def _expose(
    light: np.ndarray, camera: Motion, regions: List[_Region], points: np.ndarray
) -> Tuple[np.ndarray, int]:
    """Add up the sub-frames.

    Returns:
        The mean light, shape (H, W, 3), and the number of sub-frames.
    """
    # a region moves by the camera's step and its own, which may point the same way
    own = [_steps(region.motion, region.corners) for region in regions]
    steps = _steps(camera, points) + np.max(own, axis=0, initial=0)
    times, weights = sub_frame_times(steps, _MAX_STEP, _MIN_SUB_FRAMES)
    paths = camera.at(times).centred(weights).matrices()
    moving = []
    for region in regions:
        matrices = region.motion.at(times).centred(weights).matrices() @ paths
        moving.append((region.mask, _box(region.corners, matrices, light.shape), matrices))
    total = np.zeros_like(light)
    whole = (0, 0, light.shape[1], light.shape[0])
    for index, weight in enumerate(weights):
        frame = _warp(light, paths[index], whole)
        for mask, box, matrices in moving:
            left, top, right, bottom = box
            share = _warp(mask, matrices[index], box)[..., None]
            part = frame[top:bottom, left:right]
            part += share * (_warp(light, matrices[index], box) - part)
        cv2.scaleAdd(frame, float(weight), total, total)
    return total, len(weights)


def _box(corners: np.ndarray, matrices: np.ndarray, shape: Tuple[int, ...]) -> Tuple[int, ...]:
    """Return (left, top, right, bottom) of where a region is seen at any instant."""
    back = np.linalg.inv(matrices)
    seen = np.einsum('tij,pj->tpi', back[:, :2, :2], corners) + back[:, None, :2, 2]
    limit = np.array([shape[1], shape[0]])
    low = np.clip(np.floor(seen.min(axis=(0, 1))), 0, limit - 1).astype(int)
    high = np.clip(np.ceil(seen.max(axis=(0, 1))) + 1, low + 1, limit).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _warp(image: np.ndarray, matrix: np.ndarray, box: Tuple[int, ...]) -> np.ndarray:
    """Sample an image where ``matrix`` takes the pixels of ``box`` (left, top, right, bottom)."""
    left, top, right, bottom = box
    shifted = matrix[:2].copy()
    shifted[:, 2] += matrix[:2, :2] @ (left, top)
    return cv2.warpAffine(
        image,
        shifted,
        (right - left, bottom - top),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
