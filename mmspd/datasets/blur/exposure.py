"""What the sensor adds up while camera and objects move, over a part of the image."""

from dataclasses import dataclass
from typing import List, NamedTuple, Sequence, Tuple

import cv2
import numpy as np

from mmspd.datasets.blur.camera_path import Motion, grid_points, random_motion, sub_frame_times

__all__ = ['Box', 'Exposure', 'MovingRegion']

_MIN_SUB_FRAMES = 13
_MAX_STEP = 1.0  # pixels between sub-frames; more would show as ghosts


class Box(NamedTuple):
    """A part of an image, in pixels; ``right`` and ``bottom`` are the first outside."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def around(cls, points: np.ndarray) -> 'Box':
        """Return the smallest box of whole pixels about points (x, y), shape (..., 2)."""
        points = points.reshape(-1, 2)
        low, high = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0)) + 1
        return cls(*map(int, (*low, *high)))

    @property
    def size(self) -> Tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    def points(self, count: int) -> np.ndarray:
        """Return a regular grid over the part, corners included, as (x, y), (count ** 2, 2)."""
        return grid_points(self.size, count) + (self.left, self.top)

    def within(self, other: 'Box') -> 'Box':
        """Return what both have in common."""
        return Box(*np.maximum(self[:2], other[:2]), *np.minimum(self[2:], other[2:]))

    def reflected(self, size: Tuple[int, int]) -> 'Box':
        """Return the part of an image of (H, W) that it shows if reflection continues it."""
        last = np.array([size[1] - 1, size[0] - 1])
        low, high = np.array(self[:2]), np.array(self[2:]) - 1
        low, high = np.minimum(low, 2 * last - high), np.maximum(high, -low)
        return Box(*np.maximum(low, 0), *np.minimum(high, last) + 1)

    def of(self, image: np.ndarray, left: int = 0, top: int = 0) -> np.ndarray:
        """Cut the part out of an image whose first pixel is (left, top)."""
        return image[self.top - top : self.bottom - top, self.left - left : self.right - left]


@dataclass(frozen=True)
class MovingRegion:
    """An ellipse with a soft edge that moves on its own.

    Args:
        center: (x, y) in pixels.
        radii: In pixels, shape (2,).
        turn: Angle from the x axis to the first radius, in radians.
        motion: Its motion before a camera at rest.
    """

    center: np.ndarray
    radii: np.ndarray
    turn: float
    motion: Motion

    @classmethod
    def random(
        cls, rng: np.random.Generator, size: Tuple[int, int], extent: float
    ) -> 'MovingRegion':
        """Draw a region of an image (H, W), with about half to one and a half the extent."""
        center = rng.uniform(0.15, 0.85, 2) * (size[1], size[0])
        radii = rng.uniform(0.1, 0.25, 2) * min(size)
        turn = rng.uniform(0, np.pi)
        corners = _corners(center, radii)
        motion = random_motion(rng, center, corners, extent * rng.uniform(0.5, 1.5))
        return cls(center, radii, turn, motion)

    @property
    def corners(self) -> np.ndarray:
        """(x, y) of its bounding box, shape (4, 2)."""
        return _corners(self.center, self.radii)

    def mask(self, box: Box) -> np.ndarray:
        """Return 1 within, 0 outside, over a part of the image, float32, shape (H, W)."""
        y, x = np.mgrid[box.top : box.bottom, box.left : box.right]
        x, y = x - self.center[0], y - self.center[1]
        along = (x * np.cos(self.turn) + y * np.sin(self.turn)) / self.radii[0]
        across = (y * np.cos(self.turn) - x * np.sin(self.turn)) / self.radii[1]
        # the edge fades over a quarter of the radius, half of it outside
        return np.clip((1 - np.hypot(along, across)) * 4 + 0.5, 0, 1).astype(np.float32)


class Exposure:
    """How a part of an image is exposed: its sub-frames, and what they see of the sharp image.

    Args:
        camera: Motion of the camera.
        regions: What moves before it.
        box: The part of the image.
        size: (H, W) of the image.

    Attributes:
        weights: Share of each sub-frame in the exposure, with sum 1.
        seen: The part of the sharp image that the box shows at any instant.
    """

    def __init__(
        self, camera: Motion, regions: Sequence[MovingRegion], box: Box, size: Tuple[int, int]
    ) -> None:
        paths = camera.matrices()
        steps = [_steps(paths, box.points(5))]
        steps += [_steps(region.motion.matrices() @ paths, region.corners) for region in regions]
        times, self.weights = sub_frame_times(np.max(steps, axis=0), _MAX_STEP, _MIN_SUB_FRAMES)
        self._box = box
        self._camera = camera.at(times).centered(self.weights).matrices()
        self._moving: List[Tuple[MovingRegion, np.ndarray, Box]] = []
        seen = [box.points(2)[None], _moved(self._camera, box.points(2))]
        for region in regions:
            matrices = region.motion.at(times).centered(self.weights).matrices() @ self._camera
            shown = Box.around(_moved(np.linalg.inv(matrices), region.corners)).within(box)
            if min(shown.size) > 0:
                self._moving.append((region, matrices, shown))
                seen.append(_moved(matrices, shown.points(2)))
        self.seen = Box.around(np.concatenate(seen)).reflected(size)

    def add_up(self, light: np.ndarray) -> np.ndarray:
        """Add up the sub-frames.

        Args:
            light: Linear light of the part ``seen`` of the sharp image, float32, (H, W, 3).

        Returns:
            The mean light over the box, float32, shape (H, W, 3).
        """
        # OpenCV warps four channels in half the time of three; the fourth is a region's mask
        light = cv2.cvtColor(light, cv2.COLOR_RGB2RGBA)
        moving = []
        for region, matrices, box in self._moving:
            masked = light.copy()
            masked[..., 3] = region.mask(self.seen)
            moving.append((masked, matrices, box))
        total = np.zeros((*self._box.size, 4), np.float32)
        for index, weight in enumerate(self.weights):
            frame = self._warp(light, self._camera[index], self._box)
            for masked, matrices, box in moving:
                part, over = box.of(frame, *self._box[:2]), self._warp(masked, matrices[index], box)
                share = cv2.extractChannel(over, 3)
                part[:] = cv2.blendLinear(over, part, share, 1 - share)
            cv2.scaleAdd(frame, float(weight), total, total)
        return total[..., :3]

    def _warp(self, image: np.ndarray, matrix: np.ndarray, box: Box) -> np.ndarray:
        """Sample an image of the part ``seen`` where ``matrix`` takes the pixels of a box."""
        shifted = matrix[:2].copy()
        shifted[:, 2] += matrix[:2, :2] @ box[:2] - self.seen[:2]
        return cv2.warpAffine(
            image,
            shifted,
            box.size[::-1],
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        )


def _corners(center: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Return the (x, y) of a box about an ellipse, however it is turned, shape (4, 2)."""
    return center + 1.125 * radii.max() * np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])


def _moved(matrices: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return where matrices (T, 3, 3) take points (P, 2), shape (T, P, 2)."""
    return np.einsum('tij,pj->tpi', matrices[:, :2, :2], points) + matrices[:, None, :2, 2]


def _steps(matrices: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the longest way of any point between neighboring instants, shape (T - 1,)."""
    return np.linalg.norm(np.diff(_moved(matrices, points), axis=0), axis=2).max(axis=1)
