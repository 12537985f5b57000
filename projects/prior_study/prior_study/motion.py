"""The true motion of synthetic blur as a prior: an upper bound for a network that estimates it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from mmcv.transforms import BaseTransform
from torch import Tensor, nn

from mmspd.datasets.blur.exposure import Exposure
from mmspd.datasets.blur.synthesis import BlurSpec, plan_blur
from mmspd.datasets.image_io import read_rgb, write_png
from mmspd.datasets.records import RECORDS_NAME
from mmspd.errors import UserError
from mmspd.models.deblurrer import SemanticPriorDeblurrer
from mmspd.models.layers.padding import pad_to_multiple
from mmspd.models.priors import SPL
from mmspd.registry import MODELS, TRANSFORMS

if TYPE_CHECKING:
    from mmagic.structures import DataSample

__all__ = [
    'LoadMotion',
    'MotionDeblurrer',
    'MotionOnly',
    'PackMotion',
    'SPLWithMotion',
    'motion_map',
    'write_motion_maps',
]

#: Steps of the 8-bit maps per pixel of motion, and the value of the signed channels for no motion.
_STEPS, _ZERO = 16, 128


def motion_map(exposure: Exposure, size: Sequence[int]) -> np.ndarray:
    """Compute the motion of every pixel of a photo during an exposure without moving regions.

    C is the covariance of the displacement of a pixel over the exposure, in pixels squared, and S
    its square root. The map does not depend on the direction in which a path is followed.

    Args:
        exposure: The exposure of the whole photo.
        size: Height and width of the photo.

    Returns:
        ``(tr S, Sxx - Syy, 2 Sxy)`` in pixels, float64, shape ``(H, W, 3)``.
    """
    weights = exposure.weights[:, None, None]
    matrices = exposure.layers[0].matrices  # (T, 2, 3); moved = matrices @ (x, y, 1)
    centered = matrices - (weights * matrices).sum(0)
    y, x = np.mgrid[: size[0], : size[1]]
    points = np.stack([x, y, np.ones_like(x)], -1).astype(np.float64)

    def covariance(i: int, j: int) -> np.ndarray:
        product = np.einsum('t,ta,tb->ab', exposure.weights, centered[:, i], centered[:, j])
        return np.einsum('hwa,ab,hwb->hw', points, product, points)

    xx, yy, xy = covariance(0, 0), covariance(1, 1), covariance(0, 1)
    root = np.sqrt(np.maximum(xx * yy - xy**2, 0))
    trace = np.sqrt(xx + yy + 2 * root)  # of the square root of a symmetric 2x2 matrix
    safe = np.maximum(trace, 1e-6)
    return np.stack([trace, (xx - yy) / safe, 2 * xy / safe], -1)


def write_motion_maps(root: Path, photos: Path, specs: Sequence[BlurSpec]) -> None:
    """Write the motion of all pairs that ``synthesize_folder`` has made.

    The map of ``<split>/<photo>/blur/<copy>.png`` is ``<split>/<photo>/motion/<copy>.png``, in 8
    bits.

    Args:
        root: Folder of the pairs.
        photos: Folder of the sharp photos.
        specs: The blurs of the pairs of a photo, in turn.
    """
    for path in root.glob(f'*/{RECORDS_NAME}'):
        for record in map(json.loads, path.read_text('utf-8').splitlines()):
            photo, copy = record['key'].split('/')
            sharp = read_rgb(photos / f'{photo}.png')
            rng = np.random.default_rng(np.random.SeedSequence(record['seed']))
            plan = plan_blur(sharp, rng, specs[int(copy) % len(specs)])
            assert isinstance(plan.exposure, Exposure)
            assert plan.record.extent == record['extent']
            motion = motion_map(plan.exposure, sharp.shape[:2]) * _STEPS + (0, _ZERO, _ZERO)
            target = path.parent / photo / 'motion' / f'{copy}.png'
            write_png(target, np.clip(np.rint(motion), 0, 255).astype(np.uint8))


@TRANSFORMS.register_module()
class LoadMotion(BaseTransform):
    """Appends the motion map of a pair to the channels of ``gt``, to crop both alike."""

    def transform(self, results: Dict[str, Any]) -> Dict[str, Any]:
        """Load the map.

        Args:
            results: A sample with ``gt`` and ``gt_path``.
        """
        sharp = Path(results['gt_path'])
        motion = read_rgb(sharp.parents[1] / 'motion' / sharp.name)
        results['gt'] = np.concatenate([results['gt'], motion], axis=2)
        return results


@TRANSFORMS.register_module()
class PackMotion(BaseTransform):
    """Moves the motion map from ``gt`` to ``motion``, a tensor of three planes in pixels.

    The signs of its channels follow the flips and transpositions of the sample.
    """

    def transform(self, results: Dict[str, Any]) -> Dict[str, Any]:
        """Split ``gt``.

        Args:
            results: A sample whose ``gt`` has six channels.
        """
        image = results['gt']
        motion = (image[..., 3:].astype(np.float32) - (0, _ZERO, _ZERO)) / _STEPS
        flips = sum(info['flip'] for info in results.get('flip_infos', []))
        if results.get('transpose'):
            motion[..., 1] *= -1
        if flips % 2:
            motion[..., 2] *= -1
        results['gt'] = np.ascontiguousarray(image[..., :3])
        results['motion'] = torch.from_numpy(motion.transpose(2, 0, 1).astype(np.float32))
        return results


class _MotionFed:
    """Part of a prior branch that adds an embedding of the true motion to each level.

    Attributes:
        motion: Motion of the images ``(N, 3, H, W)`` in pixels; set before each forward pass.
    """

    motion: Optional[Tensor] = None
    channels: Sequence[int]
    multiple: int

    def make_embeddings(self) -> nn.ModuleList:
        """Make one embedding per level."""
        return nn.ModuleList(
            nn.Sequential(nn.Conv2d(3, wide, 1), nn.ReLU(), nn.Conv2d(wide, wide, 1))
            for wide in self.channels
        )

    def embedded(self, levels: Sequence[Tensor], embeddings: nn.ModuleList) -> List[Tensor]:
        """Return the embedding of the motion at the size of each level."""
        if levels[0].is_meta:  # only the shapes are computed
            motion = levels[0][:, :3]
        elif self.motion is None:
            raise UserError('The motion is not set; use model.type=mmspd.MotionDeblurrer.')
        else:
            motion = pad_to_multiple(self.motion, self.multiple)
        return [
            embed(F.adaptive_avg_pool2d(motion, level.shape[-2:]))
            for embed, level in zip(embeddings, levels)
        ]


@MODELS.register_module()
class SPLWithMotion(_MotionFed, SPL):
    """A prior branch that adds the true motion to its guidance."""

    def __init__(self, **options: Any) -> None:
        SPL.__init__(self, **options)
        self.embeddings = self.make_embeddings()

    def guidance(self, prior: Sequence[Tensor]) -> Sequence[Tensor]:
        """Add the embedded motion to the guidance."""
        levels = super().guidance(prior)
        return [a + b for a, b in zip(levels, self.embedded(levels, self.embeddings))]


@MODELS.register_module()
class MotionOnly(_MotionFed, nn.Module):
    """A prior branch without features: the prior is the embedded true motion.

    Args:
        width: Channels of the levels.
        strides: Strides of the levels.
    """

    classes = None

    def __init__(self, width: int = 32, strides: Sequence[int] = (2, 4, 8)) -> None:
        super().__init__()
        self.strides = tuple(strides)
        self.channels = (width,) * len(self.strides)
        self.multiple = max(self.strides)
        self.extractor = nn.Identity()  # the count of the cost needs it
        self.embeddings = self.make_embeddings()

    def forward(self, img: Tensor) -> List[Tensor]:
        """Return empty levels of the right sizes; :meth:`guidance` fills them."""
        return [
            img.new_zeros(len(img), wide, img.shape[-2] // stride, img.shape[-1] // stride)
            for wide, stride in zip(self.channels, self.strides)
        ]

    def guidance(self, prior: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return the embedded motion."""
        return self.embedded(prior, self.embeddings)


@MODELS.register_module()
class MotionDeblurrer(SemanticPriorDeblurrer):
    """A model that gives its prior branch the true motion of the images."""

    def forward_train(
        self, inputs: Tensor, data_samples: DataSample, **kwargs: Any
    ) -> Dict[str, Tensor]:
        """Compute the training losses."""
        self.generator.prior.motion = data_samples.motion
        return super().forward_train(inputs, data_samples, **kwargs)

    def forward_inference(
        self, inputs: Tensor, data_samples: Optional[DataSample] = None, **kwargs: Any
    ) -> DataSample:
        """Restore images."""
        assert data_samples is not None
        self.generator.prior.motion = data_samples.motion
        return super().forward_inference(inputs, data_samples, **kwargs)
