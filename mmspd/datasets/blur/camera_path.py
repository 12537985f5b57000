"""How a camera, or an object before it, moves while the shutter is open."""

from dataclasses import dataclass, replace
from typing import Tuple

import numpy as np

__all__ = ['Motion', 'grid_points', 'path_extents', 'random_motion', 'sub_frame_times']

#: Instants at which a motion is described before the sub-frames are placed.
TIME_STEPS = 256

#: Directions in which the width of a path is measured; the widest is within 0.5 % of its diameter.
_DIRECTIONS = 16


@dataclass(frozen=True)
class Motion:
    """A similarity transformation per instant, about a fixed center.

    Args:
        center: (x, y) in pixels that rotation and zoom leave in place.
        offset: Shift in pixels, shape (T, 2), as (x, y).
        angle: Rotation in radians, shape (T,).
        log_zoom: Logarithm of the scale, shape (T,).
    """

    center: np.ndarray
    offset: np.ndarray
    angle: np.ndarray
    log_zoom: np.ndarray

    def matrices(self) -> np.ndarray:
        """Return the transformations as matrices on homogeneous (x, y, 1), shape (T, 3, 3)."""
        scale = np.exp(self.log_zoom)
        cosine, sine = scale * np.cos(self.angle), scale * np.sin(self.angle)
        matrices = np.zeros((len(self.angle), 3, 3))
        matrices[:, 0, 0], matrices[:, 0, 1] = cosine, -sine
        matrices[:, 1, 0], matrices[:, 1, 1] = sine, cosine
        matrices[:, :2, 2] = self.center + self.offset - matrices[:, :2, :2] @ self.center
        matrices[:, 2, 2] = 1
        return matrices

    def displacement(self, points: np.ndarray) -> np.ndarray:
        """Return how far points are from where they belong, in pixels.

        Args:
            points: (x, y), shape (P, 2).

        Returns:
            Shape (T, P, 2).
        """
        matrices = self.matrices()
        moved = np.einsum('tij,pj->tpi', matrices[:, :2, :2], points)
        return moved + matrices[:, None, :2, 2] - points

    def scaled(self, factor: float) -> 'Motion':
        """Return the motion with every amplitude multiplied."""
        return replace(
            self,
            offset=self.offset * factor,
            angle=self.angle * factor,
            log_zoom=self.log_zoom * factor,
        )

    def at(self, times: np.ndarray) -> 'Motion':
        """Return the motion at other instants.

        Args:
            times: Instants in [0, 1] of the exposure, shape (T',).
        """
        own = np.linspace(0, 1, len(self.angle))
        return replace(
            self,
            offset=np.stack([np.interp(times, own, axis) for axis in self.offset.T], 1),
            angle=np.interp(times, own, self.angle),
            log_zoom=np.interp(times, own, self.log_zoom),
        )

    def centered(self, weights: np.ndarray) -> 'Motion':
        """Return the motion whose weighted mean is no motion.

        Args:
            weights: Share of the exposure of every instant, shape (T,), with sum 1.
        """
        return replace(
            self,
            offset=self.offset - weights @ self.offset,
            angle=self.angle - weights @ self.angle,
            log_zoom=self.log_zoom - weights @ self.log_zoom,
        )


def grid_points(size: Tuple[int, int], count: int = 5) -> np.ndarray:
    """Return a regular grid over an image, its corners included.

    Args:
        size: (H, W) in pixels.
        count: Points along each side.

    Returns:
        (x, y) in pixels, shape (count ** 2, 2).
    """
    x, y = np.meshgrid(np.linspace(0, size[1] - 1, count), np.linspace(0, size[0] - 1, count))
    return np.stack([x.ravel(), y.ravel()], 1)


def path_extents(displacement: np.ndarray) -> np.ndarray:
    """Return the diameter of each point's path, in pixels.

    Args:
        displacement: Shape (T, P, 2).

    Returns:
        Shape (P,).
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
        center: (x, y) of rotation and zoom, in pixels.
        points: (x, y) of the points that ``extent`` is measured at, shape (P, 2).
        extent: Mean over the points of their path's diameter, in pixels.

    Returns:
        The motion at ``TIME_STEPS`` instants.
    """
    direction = rng.uniform(0, 2 * np.pi)
    tremor = rng.uniform(0.3, 1.2)
    drift = np.array([np.cos(direction), np.sin(direction)])
    offset = np.cumsum(drift + tremor * _smooth_noise(rng, 2), axis=0)
    turn, zoom = np.cumsum(_smooth_noise(rng, 2), axis=0).T
    # shares of rotation and zoom in the displacement at a typical distance from the center
    distance = np.linalg.norm(points - center, axis=1).mean()
    turn_share, zoom_share = rng.uniform(0, 0.6), rng.uniform(0, 0.3)
    motion = Motion(
        center=np.asarray(center, np.float64),
        offset=offset / np.ptp(offset, axis=0).max(),
        angle=turn / np.ptp(turn) * turn_share / distance,
        log_zoom=zoom / np.ptp(zoom) * zoom_share / distance,
    )
    # the displacement is linear in the amplitudes up to terms that a second pass removes
    for _ in range(2):
        motion = motion.scaled(extent / path_extents(motion.displacement(points)).mean())
    return motion


def sub_frame_times(
    step_lengths: np.ndarray, max_step: float, at_least: int
) -> Tuple[np.ndarray, np.ndarray]:
    """Place sub-frames so densely along a path that no ghosts appear.

    The path is cut into equally long pieces; a sub-frame stands in the middle of each and weighs
    as much as the time spent in it, so that slow stretches need no more sub-frames than fast ones.

    Args:
        step_lengths: Way between neighboring instants, in pixels, shape (T - 1,), positive sum.
        max_step: Longest way between two sub-frames, in pixels.
        at_least: Fewest sub-frames.

    Returns:
        The instants in [0, 1] and their weights with sum 1, each of shape (N,).
    """
    way = np.concatenate([[0.0], np.cumsum(step_lengths)])
    time = np.linspace(0, 1, len(way))
    count = max(at_least, int(np.ceil(way[-1] / max_step)))
    edges = np.linspace(0, way[-1], count + 1)
    weights = np.diff(np.interp(edges, way, time))
    return np.interp((edges[1:] + edges[:-1]) / 2, way, time), weights


def _smooth_noise(rng: np.random.Generator, channels: int) -> np.ndarray:
    """Draw Gaussian noise of unit deviation and a random bandwidth, shape (T, channels)."""
    sigma = TIME_STEPS * rng.uniform(0.04, 0.2)
    taps = np.arange(-TIME_STEPS, TIME_STEPS + 1)
    window = np.exp(-0.5 * (taps / sigma) ** 2)
    window /= np.linalg.norm(window)
    noise = rng.standard_normal((3 * TIME_STEPS, channels))
    return np.stack([np.convolve(column, window, 'valid') for column in noise.T], 1)
