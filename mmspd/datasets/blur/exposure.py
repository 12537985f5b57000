"""Simulation of an exposure: average sub-frames while the camera and objects move."""

from dataclasses import dataclass
from typing import List, NamedTuple, Sequence, Tuple

import cv2
import numpy as np

from mmspd.datasets.blur.camera_path import (
    Motion,
    grid_points,
    moved_points,
    random_motion,
    sub_frame_times,
)

__all__ = ['Box', 'Exposure', 'Layer', 'MovingRegion', 'Panning', 'panning_kernel']

_MIN_SUB_FRAMES = 13
_MAX_STEP = 1.0  # pixels between sub-frames; larger steps are visible as ghosts


class Box(NamedTuple):
    """A rectangle of pixels; ``right`` and ``bottom`` are exclusive.

    Examples:
        >>> import numpy as np
        >>> from mmspd.datasets.blur.exposure import Box
        >>> box = Box(left=1, top=0, right=3, bottom=1)
        >>> box.size, box.of(np.arange(8).reshape(2, 4)).tolist()
        ((1, 2), [[1, 2]])
    """

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def around(cls, points: np.ndarray) -> 'Box':
        """Return the smallest box that contains points ``(x, y)`` of shape ``(..., 2)``."""
        points = points.reshape(-1, 2)
        low, high = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0)) + 1
        return cls(*map(int, (*low, *high)))

    @property
    def size(self) -> Tuple[int, int]:
        """Height and width in pixels."""
        return self.bottom - self.top, self.right - self.left

    def points(self, count: int) -> np.ndarray:
        """Return a grid of points ``(x, y)`` including the corners, shape ``(count ** 2, 2)``."""
        return grid_points(self.size, count) + (self.left, self.top)

    def within(self, other: 'Box') -> 'Box':
        """Return the intersection with another box."""
        return Box(*np.maximum(self[:2], other[:2]), *np.minimum(self[2:], other[2:]))

    def reflected(self, size: Tuple[int, int]) -> 'Box':
        """Return the box of the pixels of an ``(H, W)`` image that fill this box.

        Positions outside of the image are reflected at its borders.
        """
        last = np.array([size[1] - 1, size[0] - 1])
        low, high = np.array(self[:2]), np.array(self[2:]) - 1
        low, high = np.minimum(low, 2 * last - high), np.maximum(high, -low)
        return Box(*np.maximum(low, 0), *np.minimum(high, last) + 1)

    def of(self, image: np.ndarray, left: int = 0, top: int = 0) -> np.ndarray:
        """Return a view of the pixels in the box.

        The first pixel of ``image`` has the position ``(left, top)``.
        """
        return image[self.top - top : self.bottom - top, self.left - left : self.right - left]


@dataclass(frozen=True)
class MovingRegion:
    """An elliptic region with a soft edge and a separate motion.

    Args:
        center: Center ``(x, y)`` in pixels.
        radii: Two radii in pixels, shape ``(2,)``.
        turn: Angle from the x axis to the first radius, in radians.
        motion: Motion of the region in front of a still camera.
    """

    center: np.ndarray
    radii: np.ndarray
    turn: float
    motion: Motion

    @classmethod
    def random(
        cls, rng: np.random.Generator, size: Tuple[int, int], extent: float
    ) -> 'MovingRegion':
        """Draw a random region of an ``(H, W)`` image and its motion.

        The extent of this motion is 0.5 to 1.5 times ``extent``, the extent of the camera motion.
        """
        center = rng.uniform(0.15, 0.85, 2) * (size[1], size[0])
        radii = rng.uniform(0.1, 0.25, 2) * min(size)
        turn = rng.uniform(0, np.pi)
        corners = _corners(center, radii)
        motion = random_motion(rng, center, corners, extent * rng.uniform(0.5, 1.5))
        return cls(center, radii, turn, motion)

    @property
    def corners(self) -> np.ndarray:
        """Corners ``(x, y)`` of a square that contains the region, shape ``(4, 2)``."""
        return _corners(self.center, self.radii)

    def mask(self, box: Box) -> np.ndarray:
        """Return the mask of the region (1 inside, 0 outside) in a box, float32, ``(H, W)``."""
        y, x = np.mgrid[box.top : box.bottom, box.left : box.right]
        x, y = x - self.center[0], y - self.center[1]
        along = (x * np.cos(self.turn) + y * np.sin(self.turn)) / self.radii[0]
        across = (y * np.cos(self.turn) - x * np.sin(self.turn)) / self.radii[1]
        # the edge fades over a quarter of the radius, centered on the ellipse
        return np.clip((1 - np.hypot(along, across)) * 4 + 0.5, 0, 1).astype(np.float32)


class Layer(NamedTuple):
    """The photo or a moving region, as the camera sees it in each sub-frame.

    Attributes:
        matrices: Matrices that move the pixel positions in ``box`` to positions in the seen part of
            the photo, shape ``(T, 2, 3)``.
        box: Box of the image that the layer covers.
    """

    matrices: np.ndarray
    box: Box


class Exposure:
    """Averages the light of all sub-frames in a box of the image.

    Args:
        camera: Motion of the camera.
        regions: Regions that move in front of the camera.
        box: Box of the image to compute.
        size: ``(H, W)`` of the image in pixels.

    Attributes:
        weights: Share of each sub-frame in the exposure, with sum 1.
        seen: Box of the sharp image that contributes to the exposure.
        regions: The regions that are visible in the box.
        layers: The layer of the photo and of each of these regions. A layer is blended over the
            layers before it.

    Examples:
        >>> import numpy as np
        >>> from mmspd.datasets.blur.camera_path import grid_points, random_motion
        >>> from mmspd.datasets.blur.exposure import Box, Exposure
        >>> rng, size = np.random.default_rng(0), (64, 64)
        >>> camera = random_motion(rng, [31.5, 31.5], grid_points(size), extent=8)
        >>> exposure = Exposure(camera, [], Box(16, 16, 32, 32), size)
        >>> light = rng.random((64, 64, 3), np.float32)
        >>> exposure.add_up(exposure.seen.of(light)).shape
        (16, 16, 3)
    """

    def __init__(
        self, camera: Motion, regions: Sequence[MovingRegion], box: Box, size: Tuple[int, int]
    ) -> None:
        paths = camera.matrices()
        steps = [_steps(paths, box.points(5))]
        steps += [_steps(region.motion.matrices() @ paths, region.corners) for region in regions]
        times, self.weights = sub_frame_times(np.max(steps, axis=0), _MAX_STEP, _MIN_SUB_FRAMES)
        matrices = camera.at(times).centered(self.weights).matrices()
        self.regions: List[MovingRegion] = []
        layers = [Layer(matrices, box)]
        seen = [box.points(2)[None], moved_points(matrices, box.points(2))]
        for region in regions:
            moved = region.motion.at(times).centered(self.weights).matrices() @ matrices
            shown = Box.around(moved_points(np.linalg.inv(moved), region.corners)).within(box)
            if min(shown.size) > 0:
                self.regions.append(region)
                layers.append(Layer(moved, shown))
                seen.append(moved_points(moved, shown.points(2)))
        self.seen = Box.around(np.concatenate(seen)).reflected(size)
        self.layers = [
            layer._replace(matrices=_between(layer.box, self.seen, layer.matrices))
            for layer in layers
        ]

    def add_up(self, light: np.ndarray) -> np.ndarray:
        """Average the sub-frames.

        Args:
            light: Linear light of the sharp image in the box ``seen``, float32, ``(H, W, 3)``.

        Returns:
            Mean light in ``box``, float32, shape ``(H, W, 3)``.
        """
        # OpenCV warps four channels twice as fast as three; channel 4 is the mask of a region
        light = cv2.cvtColor(light, cv2.COLOR_RGB2RGBA)
        photo, *moving = self.layers
        masked = [light.copy() for _ in moving]
        for image, region in zip(masked, self.regions):
            image[..., 3] = region.mask(self.seen)
        total = np.zeros((*photo.box.size, 4), np.float32)
        for index, weight in enumerate(self.weights):
            frame = _warp(light, photo, index)
            for image, layer in zip(masked, moving):
                part, over = layer.box.of(frame, *photo.box[:2]), _warp(image, layer, index)
                share = cv2.extractChannel(over, 3)
                part[:] = cv2.blendLinear(over, part, share, 1 - share)
            cv2.scaleAdd(frame, float(weight), total, total)
        return total[..., :3]


class Panning:
    """Averages the light of all sub-frames of an even, horizontal motion.

    The sub-frames are a whole pixel apart.

    Args:
        length: Length of the motion in pixels, at least 1.
        box: Box of the image to compute.
        size: ``(H, W)`` of the image in pixels.

    Attributes:
        weights: As in :class:`Exposure`.
        seen: As in :class:`Exposure`.
        regions: An empty list.
        layers: As in :class:`Exposure`.

    Examples:
        >>> import numpy as np
        >>> from mmspd.datasets.blur.exposure import Box, Panning
        >>> panning = Panning(3, Box(2, 0, 4, 1), size=(1, 9))
        >>> tuple(map(int, panning.seen))
        (1, 0, 5, 1)
        >>> line = np.array([[0, 3, 6, 0]], np.float32)
        >>> panning.add_up(np.dstack([line] * 3))[..., 0].tolist()
        [[3.0, 3.0]]
    """

    def __init__(self, length: float, box: Box, size: Tuple[int, int]) -> None:
        self.weights = panning_kernel(length)
        self.regions: List[MovingRegion] = []
        reach = len(self.weights) // 2
        reached = box._replace(left=box.left - reach, right=box.right + reach)
        self.seen = reached.reflected(size)
        shifts = np.tile(np.eye(3), (len(self.weights), 1, 1))
        shifts[:, 0, 2] = np.arange(-reach, reach + 1)
        self.layers = [Layer(_between(box, self.seen, shifts), box)]

    def add_up(self, light: np.ndarray) -> np.ndarray:
        """Average the sub-frames.

        Args:
            light: Linear light of the sharp image in the box ``seen``, float32, ``(H, W, 3)``.

        Returns:
            Mean light in ``box``, float32, shape ``(H, W, 3)``.
        """
        light = cv2.filter2D(light, -1, self.weights[None], borderType=cv2.BORDER_REFLECT_101)
        return self.layers[0].box.of(light, *self.seen[:2])


def panning_kernel(length: float) -> np.ndarray:
    """Return the kernel of a panning blur: the weights of a uniform, centered line.

    Args:
        length: Length in pixels, at least 1. The pixels at the ends of the line may be
            covered partly. The weight of such a pixel is proportional to the covered part.

    Returns:
        An odd number of weights with sum 1, float32.

    Examples:
        >>> from mmspd.datasets.blur.exposure import panning_kernel
        >>> panning_kernel(4).tolist()
        [0.125, 0.25, 0.25, 0.25, 0.125]
    """
    whole, part = divmod((length - 1) / 2, 1)
    weights = np.ones(2 * int(whole) + 1)
    if part:
        weights = np.pad(weights, 1, constant_values=part)
    return (weights / length).astype(np.float32)


def _between(box: Box, seen: Box, matrices: np.ndarray) -> np.ndarray:
    """Return matrices from the pixel positions in ``box`` to those in ``seen``, ``(T, 2, 3)``."""
    moved = matrices[:, :2].copy()
    moved[..., 2] += moved[..., 0] * box.left + moved[..., 1] * box.top - seen[:2]
    return moved


def _warp(image: np.ndarray, layer: Layer, index: int) -> np.ndarray:
    """Sample an image of the seen box at the positions of a layer in a sub-frame."""
    return cv2.warpAffine(
        image,
        layer.matrices[index],
        layer.box.size[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )


def _corners(center: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Return the corners of a square that contains the ellipse at any angle, shape ``(4, 2)``."""
    return center + 1.125 * radii.max() * np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])


def _steps(matrices: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the longest step between two instants over all points, in pixels, ``(T - 1,)``."""
    return np.linalg.norm(np.diff(moved_points(matrices, points), axis=0), axis=2).max(axis=1)
