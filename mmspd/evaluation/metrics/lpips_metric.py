"""LPIPS for MMEngine's loops."""

import warnings
from typing import Any, Dict, Optional

import numpy as np
import torch
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.evaluation.metrics.base import ImageMetric, MetricInfo
from mmspd.registry import METRICS
from mmspd.weights.loading import load_renamed

__all__ = ['LPIPS']

#: torchvision's weights of each backbone, and the smallest side that survives its pooling.
_BACKBONES = {'alex': ('AlexNet_Weights', 31), 'vgg': ('VGG16_Weights', 16)}


@METRICS.register_module()
class LPIPS(ImageMetric):
    """``LPIPS-alex-v0.1`` or ``LPIPS-vgg-v0.1``: mean over the images, lower is better.

    The whole image, rounded to 8 bits, goes through the network of the ``lpips`` package, on the
    device that the model runs on. The two backbones give different numbers, hence the names.

    Args:
        net: Backbone, ``'alex'`` or ``'vgg'``.
        weights: Of the backbone: ``'torchvision'`` downloads them at the first image; or a file in
            torchvision's layout. The heads come with the ``lpips`` package.
        **common: Arguments of :class:`ImageMetric`.

    Raises:
        UserError: There is no such backbone; at the first image, its weights cannot be had or do
            not fit; or an image is too small for it.

    Source: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual
    Metric", CVPR 2018.
    """

    def __init__(self, net: str = 'alex', weights: str = 'torchvision', **common: Any) -> None:
        super().__init__(**common)
        if net not in _BACKBONES:
            raise UserError(f"LPIPS's net is one of {', '.join(_BACKBONES)}, not {net!r}")
        self.net = net
        self.name = f'LPIPS-{net}-v0.1'
        self.info = {self.name: MetricInfo(False, package='lpips')}
        self.weights = weights
        self._network: Optional[nn.Module] = None

    @torch.no_grad()
    def measure(self, sample: dict) -> Dict[str, float]:
        """Measure the prediction."""
        pair = self.image_pair(sample, 'pred_img')
        height, width = pair[0].shape[:2]
        smallest = _BACKBONES[self.net][1]
        if min(height, width) < smallest:
            raise UserError(
                f'LPIPS by {self.net} needs images of at least {smallest}x{smallest} pixels, not '
                f'{width}x{height}: remove them from the test set'
            )
        if self._network is None:
            self._network = _build(self.net, self.weights)
        device = sample['gt_img'].device  # predictions have left the model's
        self._network.to(device)
        distance = self._network(*(_to_tensor(image).to(device) for image in pair))
        return {self.name: distance.item()}


def _to_tensor(image: np.ndarray) -> Tensor:
    """Turn RGB, uint8, (H, W, 3) into (1, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1


def _build(net: str, weights: str) -> nn.Module:
    """Build the network with its weights, leaving torch's random state as it was."""
    import lpips  # these take seconds, and only this metric needs them
    import torchvision

    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings('ignore', module='torchvision')  # lpips speaks to older ones
        network = lpips.LPIPS(net=net, version='0.1', pnet_rand=True, verbose=False)
    # lpips keeps torchvision's numbers of layers, within its slices: slice2.3.weight
    names = {key: f'features.{key.partition(".")[2]}' for key in network.net.state_dict()}
    url = getattr(torchvision.models, _BACKBONES[net][0]).IMAGENET1K_V1.url
    load_renamed(network.net, names, weights, url, 'LPIPS weights')
    return network.eval().requires_grad_(False)
