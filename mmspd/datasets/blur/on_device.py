"""Blur synthesis on the device of the model, from a plan that a worker has drawn."""

from typing import NamedTuple, Tuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mmspd.datasets.blur.exposure import Box, MovingRegion
from mmspd.datasets.blur.synthesis import CLIPPED, GAMMA, BlurPlan
from mmspd.utils.deferred import DeferredPair

__all__ = ['PlannedBlur']

#: Largest number of pixels of the sub-frames that are computed at once, about 60 bytes each.
_PIXELS = 2**22


class PlannedBlur(DeferredPair):
    """A crop of a photo that the model blurs on its device.

    The blurry image is that of :func:`~mmspd.datasets.blur.synthesis.synthesize_blur` up to
    rounding, but with other values of the noise. The noise of a sample has a seed of its own, so it
    does not depend on the batch.

    Examples:
        >>> import numpy as np
        >>> from mmspd.datasets.blur.on_device import PlannedBlur
        >>> from mmspd.datasets.blur.synthesis import BlurSpec, plan_blur
        >>> rng = np.random.default_rng(0)
        >>> sharp = rng.integers(0, 256, (96, 128, 3), np.uint8)
        >>> planned = PlannedBlur.of(plan_blur(sharp, rng, BlurSpec('severe')), sharp, seed=0)
        >>> blurry, target = planned.images()
        >>> blurry.shape, np.array_equal(target.permute(1, 2, 0), sharp)
        (torch.Size([3, 96, 128]), True)
    """

    @classmethod
    def of(cls, plan: BlurPlan, sharp: np.ndarray, seed: int) -> 'PlannedBlur':
        """Copy the pixels of a photo that a plan needs.

        Args:
            plan: The drawn blur.
            sharp: The photo, RGB, uint8, shape ``(H, W, 3)``.
            seed: Seed of the noise.

        Returns:
            The crop, on the CPU.
        """
        exposure = plan.exposure
        layers, seen = exposure.layers, exposure.seen
        ellipses = [
            _Region.of(region, _relative(layer.box, plan.box), seen)
            for region, layer in zip(exposure.regions, layers[1:])
        ]
        return cls(
            metainfo=dict(
                box=_relative(plan.box, seen),
                regions=ellipses,
                gain=plan.record.highlight_gain,
                noise=plan.record.noise,
                seed=seed,
                # between whole pixels, rounded positions would let highlights leak into black
                mode='nearest' if plan.record.kind == 'panning' else 'bilinear',
            ),
            photo=torch.tensor(seen.of(sharp)),
            matrices=torch.tensor(
                _for_grid_sample(np.stack([layer.matrices for layer in layers]), seen.size),
                dtype=torch.float32,
            ),
            weights=torch.tensor(exposure.weights, dtype=torch.float32),
        )

    def images(self) -> Tuple[Tensor, Tensor]:
        """Compute the blurry image, and cut out the sharp one.

        Returns:
            Two tensors of shape ``(3, H, W)``, RGB, uint8, on the device of the data.
        """
        values = self._mean_light().clamp_(0, 1).pow_(1 / GAMMA)
        if self.noise:
            source = torch.Generator(values.device).manual_seed(self.seed)
            noise = torch.randn(values.shape, generator=source, device=values.device)
            values.add_(noise, alpha=self.noise)
        blurry = values.mul_(255).round_().clamp_(0, 255).to(torch.uint8)
        return blurry, self.box.of(self.photo).permute(2, 0, 1)

    def _mean_light(self) -> Tensor:
        """Average the sub-frames in linear light; the result has the shape ``(3, H, W)``."""
        light = _to_light(self.photo, self.gain)
        masked = [torch.cat([light, region.mask(light)]) for region in self.regions]
        total = light.new_zeros(3, *self.box.size)
        count = max(_PIXELS // total[0].numel(), 1)  # sub-frames at once
        for matrices, weights in zip(self.matrices.split(count, 1), self.weights.split(count)):
            frames = _warp(light, matrices[0], self.box.size, self.mode)
            for image, region, own in zip(masked, self.regions, matrices[1:]):
                left, top, right, bottom = region.box
                over = _warp(image, own, region.box.size, self.mode)
                frames[..., top:bottom, left:right].lerp_(over[:3], over[3:])
            total += frames.mul_(weights[:, None, None]).sum(1)
        return total


class _Region(NamedTuple):
    """The ellipse of a moving region in the seen part of a photo, and the box that it covers.

    Attributes:
        box: Box of the region within the crop.
        center: Center ``(x, y)`` in pixels.
        radii: Two radii in pixels.
        axis: Direction ``(x, y)`` of the first radius, of length 1.
    """

    box: Box
    center: Tuple[float, float]
    radii: Tuple[float, float]
    axis: Tuple[float, float]

    @classmethod
    def of(cls, region: MovingRegion, box: Box, seen: Box) -> '_Region':
        """Convert a moving region."""
        center, radii = (region.center - seen[:2]).tolist(), region.radii.tolist()
        axis = float(np.cos(region.turn)), float(np.sin(region.turn))
        return cls(box, center, radii, axis)

    def mask(self, light: Tensor) -> Tensor:
        """Compute the mask as ``MovingRegion.mask`` does, for ``(3, H, W)``: ``(1, H, W)``."""
        x, y = (_numbers(light, size) - c for size, c in zip(light.shape[:0:-1], self.center))
        cosine, sine = self.axis
        along = (x * cosine + y[:, None] * sine) / self.radii[0]
        across = (y[:, None] * cosine - x * sine) / self.radii[1]
        return ((1 - torch.hypot(along, across)) * 4 + 0.5).clamp_(0, 1)[None]


def _relative(box: Box, other: Box) -> Box:
    """Return a box in the pixel positions of another box."""
    return Box(*(int(edge - other[number % 2]) for number, edge in enumerate(box)))


def _numbers(like: Tensor, count: int) -> Tensor:
    """Return 0, 1, ..., ``count - 1``, with the type and the device of a tensor."""
    return torch.arange(count, dtype=like.dtype, device=like.device)


def _for_grid_sample(matrices: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """Convert the results of matrices ``(..., 2, 3)`` to the range [-1, 1] of an ``(H, W)`` image.

    The borders of the range are the centers of the outer pixels.
    """
    last = np.maximum([size[1] - 1, size[0] - 1], 1)
    matrices = matrices * (2 / last)[:, None]
    matrices[..., 2] -= 1
    return matrices


def _to_light(photo: Tensor, gain: float) -> Tensor:
    """Convert a photo ``(H, W, 3)`` to linear light as the CPU does, float32, ``(3, H, W)``."""
    values = photo.permute(2, 0, 1).float()
    light = (values / 255).pow_(GAMMA)
    if gain > 1:
        clipped = (values.amax(0) - CLIPPED).clamp_(min=0) / (255 - CLIPPED)
        light *= 1 + (gain - 1) * clipped
    return light


def _warp(image: Tensor, matrices: Tensor, size: Tuple[int, int], mode: str) -> Tensor:
    """Sample an image at the pixel positions of a box after each matrix moved them.

    Positions outside of the image are reflected at its borders.

    Args:
        image: Shape ``(C, H, W)``.
        matrices: Matrices of :func:`_for_grid_sample`, shape ``(T, 2, 3)``.
        size: Height and width of the box.
        mode: Interpolation, as in ``grid_sample``.

    Returns:
        A sub-frame for each matrix, shape ``(C, T, height, width)``.
    """
    height, width = size
    # not affine_grid, whose matrix product may use TF32
    grid = matrices[:, None, None, :, 0] * _numbers(image, width)[:, None]
    grid = grid + matrices[:, None, None, :, 2]
    grid = grid + matrices[:, None, None, :, 1] * _numbers(image, height)[:, None, None]
    frames = F.grid_sample(
        image[None],
        grid.view(1, -1, width, 2),  # the sub-frames below each other
        mode,
        padding_mode='reflection',
        align_corners=True,
    )
    return frames.view(len(image), -1, height, width)
