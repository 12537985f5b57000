"""Motion of the camera or of an object during the exposure."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Tuple

import numpy as np

__all__ = [
    'Motion',
    'grid_points',
    'moved_points',
    'path_extents',
    'random_motion',
    'sub_frame_times',
]

#: Number of instants of a random motion.
TIME_STEPS = 256

#: Number of directions along which a path is measured to find its diameter. With 16 directions,
#: the error of the diameter is below 0.5 %.
_DIRECTIONS = 16


@dataclass(frozen=True)
class Motion:
    """A similarity transformation (shift, rotation and zoom) for each of T instants.

    Args:
        center: Fixed point ``(x, y)`` of rotation and zoom, in pixels.
        offset: Shift ``(x, y)`` in pixels, shape ``(T, 2)``.
        angle: Rotation in radians, shape ``(T,)``.
        log_zoom: Natural logarithm of the scale, shape ``(T,)``.

    Examples:
        >>> import numpy as np
        >>> from mmspd.datasets.blur.camera_path import Motion
        >>> still = np.zeros(2)
        >>> motion = Motion(still, np.array([[0, 0], [3, 1]]), angle=still, log_zoom=still)
        >>> motion.displacement(np.array([[10, 10]]))[:, 0].tolist()
        [[0.0, 0.0], [3.0, 1.0]]
    """

    center: np.ndarray
    offset: np.ndarray
    angle: np.ndarray
    log_zoom: np.ndarray

    def matrices(self) -> np.ndarray:
        """Return a matrix for each instant.

        Returns:
            Matrices for homogeneous coordinates ``(x, y, 1)``, shape ``(T, 3, 3)``.
        """
        scale = np.exp(self.log_zoom)
        cosine, sine = scale * np.cos(self.angle), scale * np.sin(self.angle)
        matrices = np.zeros((len(self.angle), 3, 3))
        matrices[:, 0, 0], matrices[:, 0, 1] = cosine, -sine
        matrices[:, 1, 0], matrices[:, 1, 1] = sine, cosine
        matrices[:, :2, 2] = self.center + self.offset - matrices[:, :2, :2] @ self.center
        matrices[:, 2, 2] = 1
        return matrices

    def displacement(self, points: np.ndarray) -> np.ndarray:
        """Compute the displacement of points.

        Args:
            points: ``(x, y)`` in pixels, shape ``(P, 2)``.

        Returns:
            Displacement ``(x, y)`` in pixels, shape ``(T, P, 2)``.
        """
        return moved_points(self.matrices(), points) - points

    def scaled(self, factor: float) -> 'Motion':
        """Return the motion with shift, rotation and logarithmic zoom multiplied by a factor."""
        return replace(
            self,
            offset=self.offset * factor,
            angle=self.angle * factor,
            log_zoom=self.log_zoom * factor,
        )

    def at(self, times: np.ndarray) -> 'Motion':
        """Interpolate the motion at other instants.

        Args:
            times: Instants, shape ``(T',)``. 0 is the start of the exposure, 1 is the end.

        Returns:
            The motion at these instants.
        """
        own = np.linspace(0, 1, len(self.angle))
        return replace(
            self,
            offset=np.stack([np.interp(times, own, axis) for axis in self.offset.T], 1),
            angle=np.interp(times, own, self.angle),
            log_zoom=np.interp(times, own, self.log_zoom),
        )

    def centered(self, weights: np.ndarray) -> 'Motion':
        """Subtract the weighted means of shift, rotation and logarithmic zoom.

        Args:
            weights: Share of each instant in the exposure, shape ``(T,)``, with sum 1.

        Returns:
            The motion with weighted means of 0.
        """
        return replace(
            self,
            offset=self.offset - weights @ self.offset,
            angle=self.angle - weights @ self.angle,
            log_zoom=self.log_zoom - weights @ self.log_zoom,
        )


def moved_points(matrices: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply matrices to points.

    Args:
        matrices: Matrices for homogeneous coordinates ``(x, y, 1)``, shape ``(T, 3, 3)``.
        points: ``(x, y)`` in pixels, shape ``(P, 2)``.

    Returns:
        The moved points, shape ``(T, P, 2)``.
    """
    # with long rows, this is ten times as fast as np.einsum
    rows, (x, y) = np.ascontiguousarray(matrices[:, :2].T)[:, :, None], points.T[..., None]
    return np.ascontiguousarray((rows[0] * x + rows[1] * y + rows[2]).T)


def grid_points(size: Tuple[int, int], count: int = 5) -> np.ndarray:
    """Return a regular grid of points over an image, including the corners.

    Args:
        size: ``(H, W)`` in pixels.
        count: Points along each side.

    Returns:
        ``(x, y)`` in pixels, shape ``(count ** 2, 2)``.

    Examples:
        >>> from mmspd.datasets.blur.camera_path import grid_points
        >>> grid_points((3, 5), count=2).tolist()
        [[0.0, 0.0], [4.0, 0.0], [0.0, 2.0], [4.0, 2.0]]
    """
    return _unit_grid(count) * (size[1] - 1, size[0] - 1)


@lru_cache
def _unit_grid(count: int) -> np.ndarray:
    """Return a regular grid of points ``(x, y)`` over the unit square, ``(count ** 2, 2)``."""
    places = np.linspace(0, 1, count)
    return np.stack([np.tile(places, count), np.repeat(places, count)], 1)


def path_extents(displacement: np.ndarray) -> np.ndarray:
    """Compute the diameter of the path of each point.

    Args:
        displacement: Displacement ``(x, y)`` in pixels, shape ``(T, P, 2)``.

    Returns:
        Diameters in pixels, shape ``(P,)``.
    """
    angles = np.arange(_DIRECTIONS) * np.pi / _DIRECTIONS
    along = displacement @ np.stack([np.cos(angles), np.sin(angles)])  # (T, P, directions)
    return np.ptp(along, axis=0).max(axis=1)


def random_motion(
    rng: np.random.Generator, center: np.ndarray, points: np.ndarray, extent: float
) -> Motion:
    """Draw the motion of a hand-held camera: a drift with tremor, some rotation and zoom.

    Args:
        rng: Source of randomness.
        center: Center ``(x, y)`` of rotation and zoom, in pixels.
        points: Points ``(x, y)`` at which ``extent`` is measured, shape ``(P, 2)``.
        extent: Mean diameter of the paths of the points, in pixels.

    Returns:
        The motion at ``TIME_STEPS`` instants.

    Examples:
        >>> import numpy as np
        >>> from mmspd.datasets.blur.camera_path import grid_points, path_extents, random_motion
        >>> points = grid_points((64, 64))
        >>> motion = random_motion(np.random.default_rng(0), [31.5, 31.5], points, extent=8)
        >>> displacement = motion.displacement(points)
        >>> displacement.shape, round(float(path_extents(displacement).mean()), 2)
        ((256, 25, 2), 8.0)
    """
    direction = rng.uniform(0, 2 * np.pi)
    tremor = rng.uniform(0.3, 1.2)
    drift = np.array([np.cos(direction), np.sin(direction)])
    offset = np.cumsum(drift + tremor * _smooth_noise(rng, 2), axis=0)
    turn, zoom = np.cumsum(_smooth_noise(rng, 2), axis=0).T
    # rotation moves a point at the mean distance from the center by turn_share times the length of
    # the shift, and zoom moves this point by zoom_share times the length of the shift
    distance = np.linalg.norm(points - center, axis=1).mean()
    turn_share, zoom_share = rng.uniform(0, 0.6), rng.uniform(0, 0.3)
    motion = Motion(
        center=np.asarray(center, np.float64),
        offset=offset / np.ptp(offset, axis=0).max(),
        angle=turn / np.ptp(turn) * turn_share / distance,
        log_zoom=zoom / np.ptp(zoom) * zoom_share / distance,
    )
    # the extent is only nearly proportional to the factor, so a second pass corrects the error
    for _ in range(2):
        motion = motion.scaled(extent / path_extents(motion.displacement(points)).mean())
    return motion


def sub_frame_times(
    step_lengths: np.ndarray, max_step: float, at_least: int
) -> Tuple[np.ndarray, np.ndarray]:
    """Choose the instants of the sub-frames.

    A sub-frame is the image at one instant. The weighted average of the sub-frames is the blurry
    image. If the sub-frames are too far apart, they are visible as ghosts.

    The path is cut into pieces of equal length. Each piece has a sub-frame in its middle. The
    weight of a sub-frame is the time that the motion spends in this piece. The number of sub-frames
    depends on the length of the path, but not on the speed of the motion.

    Args:
        step_lengths: Length of the step from each instant to the next in pixels, shape
            ``(T - 1,)``. The sum must be positive.
        max_step: Maximum distance between two sub-frames, in pixels.
        at_least: Minimum number of sub-frames.

    Returns:
        The instants in [0, 1] and their weights with sum 1, both of shape ``(N,)``.

    Examples:
        >>> import numpy as np
        >>> from mmspd.datasets.blur.camera_path import sub_frame_times
        >>> times, weights = sub_frame_times(np.array([1, 1, 1, 3]), max_step=2, at_least=2)
        >>> times.round(2).tolist(), weights.round(2).tolist()
        ([0.25, 0.75, 0.92], [0.5, 0.33, 0.17])
    """
    way = np.concatenate([[0.0], np.cumsum(step_lengths)])
    time = np.linspace(0, 1, len(way))
    count = max(at_least, int(np.ceil(way[-1] / max_step)))
    edges = np.linspace(0, way[-1], count + 1)
    weights = np.diff(np.interp(edges, way, time))
    return np.interp((edges[1:] + edges[:-1]) / 2, way, time), weights


def _smooth_noise(rng: np.random.Generator, channels: int) -> np.ndarray:
    """Draw smooth Gaussian noise of variance 1 and random bandwidth, shape ``(T, channels)``."""
    sigma = TIME_STEPS * rng.uniform(0.04, 0.2)
    taps = np.arange(-TIME_STEPS, TIME_STEPS + 1)
    window = np.exp(-0.5 * (taps / sigma) ** 2)
    window /= np.linalg.norm(window)
    noise = rng.standard_normal((3 * TIME_STEPS, channels))
    return np.stack([np.convolve(column, window, 'valid') for column in noise.T], 1)
