"""LPIPS for MMEngine's loops."""

import warnings
from typing import Any, Dict, Optional

import numpy as np
import torch
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.evaluation.metrics.base import ImageMetric, MetricInfo
from mmspd.registry import METRICS
from mmspd.utils.precision import convolutions
from mmspd.weights.loading import load_renamed

__all__ = ['LPIPS']

#: For each backbone, the name of torchvision's weights and the smallest image side that it accepts.
_BACKBONES = {'alex': ('AlexNet_Weights', 31), 'vgg': ('VGG16_Weights', 16)}


@METRICS.register_module()
class LPIPS(ImageMetric):
    """``LPIPS-alex-v0.1`` or ``LPIPS-vgg-v0.1``, averaged over the images. Lower is better.

    The network of the ``lpips`` package takes the whole 8-bit image, on the device of the model.
    The name of the metric states the backbone, because backbones give different values.

    Args:
        net: Backbone, ``'alex'`` or ``'vgg'``.
        weights: Weights of the backbone: ``'torchvision'``, which downloads them at the first
            image, or a file in torchvision's layout. The ``lpips`` package includes the weights of
            the heads.
        **common: Arguments of :class:`ImageMetric`.

    Raises:
        UserError: The backbone is unknown. At the first image: the weights cannot be read or
            downloaded, the weights do not fit, or the image is too small.

    Source: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual
    Metric", CVPR 2018.

    Examples:
        >>> from mmspd.evaluation import LPIPS
        >>> metric = LPIPS('vgg')
        >>> metric.info
        {'LPIPS-vgg-v0.1': MetricInfo(higher_is_better=False, digits=4, unit='', package='lpips')}
    """

    def __init__(self, net: str = 'alex', weights: str = 'torchvision', **common: Any) -> None:
        super().__init__(**common)
        if net not in _BACKBONES:
            raise UserError(f'LPIPS net={net!r} is unknown; use one of {", ".join(_BACKBONES)}.')
        self.net = net
        self.name = f'LPIPS-{net}-v0.1'
        self.info = {self.name: MetricInfo(False, package='lpips')}
        self.weights = weights
        self._network: Optional[nn.Module] = None

    @torch.no_grad()
    def measure(self, sample: dict) -> Dict[str, float]:
        """Measure the prediction.

        Args:
            sample: A data sample as a dict.

        Returns:
            A dict from the name of the metric to the LPIPS.

        Raises:
            UserError: The image is too small, or the weights cannot be loaded.
        """
        pair = self.image_pair(sample, 'pred_img')
        height, width = pair[0].shape[:2]
        smallest = _BACKBONES[self.net][1]
        if min(height, width) < smallest:
            raise UserError(
                f'LPIPS with {self.net} needs images of at least {smallest}x{smallest} pixels, not '
                f'{width}x{height}; leave smaller images out of the test set.'
            )
        if self._network is None:
            self._network = _build(self.net, self.weights)
        device = sample['gt_img'].device  # the prediction was moved to the CPU
        self._network.to(device)
        with convolutions(tf32=False):
            distance = self._network(*(_to_tensor(image).to(device) for image in pair))
        return {self.name: distance.item()}


def _to_tensor(image: np.ndarray) -> Tensor:
    """Convert an image, RGB, uint8, (H, W, 3), to a tensor (1, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1


def _build(net: str, weights: str) -> nn.Module:
    """Build the network with its weights, without changing torch's random state."""
    import lpips  # both imports take seconds, and only this metric needs them
    import torchvision

    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings('ignore', module='torchvision')  # lpips uses an old interface
        network = lpips.LPIPS(net=net, version='0.1', pnet_rand=True, verbose=False)
    # lpips groups the layers in slices but keeps torchvision's layer numbers: slice2.3.weight
    names = {key: f'features.{key.partition(".")[2]}' for key in network.net.state_dict()}
    url = getattr(torchvision.models, _BACKBONES[net][0]).IMAGENET1K_V1.url
    load_renamed(network.net, names, weights, url, 'LPIPS weights')
    return network.eval().requires_grad_(False)
