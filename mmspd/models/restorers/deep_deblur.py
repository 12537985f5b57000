"""DeepDeblur (Nah et al., "Deep Multi-scale Convolutional Neural Network", CVPR 2017)."""

from collections import OrderedDict
from typing import Any, Dict, List, cast

import torch
from torch import Tensor, nn

from mmspd.models.layers.multi_scale_targets import gaussian_half
from mmspd.models.restorers.base import Restorer
from mmspd.models.restorers.blocks import ConvPair
from mmspd.models.seams import FuseFn
from mmspd.registry import MODELS
from mmspd.weights.published import Family, Published, count_modules, register_family

__all__ = ['DeepDeblur']

KERNEL_SIZE = 5
NUM_SCALES = 3


def _conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, KERNEL_SIZE, padding=KERNEL_SIZE // 2)


def _scale_net(in_channels: int, base: int, num_res: int) -> nn.Sequential:
    """Make the network of one scale: convolution, residual blocks, convolution."""
    blocks = [nn.Sequential(OrderedDict(body=ConvPair(base, KERNEL_SIZE))) for _ in range(num_res)]
    body = nn.Sequential(_conv(in_channels, base), *blocks, _conv(base, 3))
    return nn.Sequential(OrderedDict(body=body))


def _enlarger() -> nn.Sequential:
    """Make a learned enlargement of an image by 2."""
    return nn.Sequential(OrderedDict(uppath=nn.Sequential(_conv(3, 12), nn.PixelShuffle(2))))


@MODELS.register_module()
class DeepDeblur(Restorer):
    """Multi-scale residual network with the state-dict names and numerics of the official code.

    The official code is the PyTorch version. The defaults are the published network (11.7 M
    parameters). ``DeepDeblur(num_res=6)`` is the paper's network (3.7 M). Each level of a Gaussian
    pyramid of the input has its own network. The network of the coarsest level runs first. Each
    following network gets its level of the pyramid and the enlarged result of the previous network.
    The networks compute with pixel values 0..255 minus 127.5, because the trained biases fit only
    this range. The input is not added to the outputs. The training targets must be a Gaussian
    pyramid too: ``model.multi_scale_targets='gaussian'``.

    DeepDeblur has no decoder, so each network gets the prior halfway through its residual blocks.
    The seams are ``scale2`` (stride 4), ``scale1`` and ``scale0`` (full resolution).

    Args:
        base: Channels; official 64.
        num_res: Residual blocks of each network; official 19.
        outputs: ``'all'`` returns the images at 1/4, 1/2 and full resolution; ``'last'`` returns
            only the full-resolution image.
        with_cp: Recompute the blocks' activations in the backward pass to save memory.

    Raises:
        UserError: ``outputs`` is unknown.

    Examples:
        >>> import torch
        >>> from mmspd.models.restorers import DeepDeblur
        >>> network = DeepDeblur(base=8, num_res=2)
        >>> [tuple(image.shape) for image in network(torch.rand(1, 3, 32, 48))]
        [(1, 3, 8, 12), (1, 3, 16, 24), (1, 3, 32, 48)]
    """

    multiple = 4
    seams = ('scale2', 'scale1', 'scale0')

    def __init__(
        self, base: int = 64, num_res: int = 19, outputs: str = 'all', with_cp: bool = False
    ) -> None:
        super().__init__(outputs, with_cp)
        self.half_way = num_res // 2
        coarsest = NUM_SCALES - 1
        self.body_models = nn.ModuleList(
            _scale_net(3 if scale == coarsest else 6, base, num_res) for scale in range(NUM_SCALES)
        )
        # The key is the scale whose output is enlarged. Scale 0 has full resolution already.
        self.conv_end_models = nn.ModuleDict(
            {str(scale): _enlarger() for scale in range(1, NUM_SCALES)}
        )

    def forward_padded(self, img: Tensor, fuse: FuseFn) -> List[Tensor]:
        """Restore an image at 1/4, 1/2 and full resolution.

        Args:
            img: Blurry image ``(N, 3, H, W)``; H and W are multiples of 4.
            fuse: Function that is called at every seam.

        Returns:
            Three images, coarse to fine.
        """
        pyramid = [img]
        for _ in range(1, NUM_SCALES):
            pyramid.append(gaussian_half(pyramid[-1]))
        shifted = [level * 255 - 127.5 for level in pyramid]

        z, results = shifted[-1], []
        for scale in reversed(range(NUM_SCALES)):
            z = self._restore_scale(scale, z, fuse)  # (N, 3, H / 2^scale, W / 2^scale)
            # Convert to the image's type first, because the sum would lose bits in half precision.
            results.append((z.to(img.dtype) + 127.5) / 255)
            if scale > 0:
                z = torch.cat([shifted[scale - 1], self.conv_end_models[str(scale)](z)], dim=1)
        return results

    def _restore_scale(self, scale: int, x: Tensor, fuse: FuseFn) -> Tensor:
        """Restore one scale from values in -127.5..127.5."""
        first, *blocks, last = cast(nn.Sequential, self.body_models[scale].body)
        x = first(x)
        for block in blocks[: self.half_way]:
            x = self.checkpointed(block, x)
        x = fuse(f'scale{scale}', x)
        for block in blocks[self.half_way :]:
            x = self.checkpointed(block, x)
        return last(x)


def _arguments(state: Dict[str, Tensor]) -> Dict[str, Any]:
    """Read the arguments of the constructor from a state dict."""
    num_res = (
        count_modules(state, r'body_models\.\d\.body\.(\d+)') - 2
    )  # two of the modules are convolutions
    return dict(base=state['body_models.0.body.0.weight'].shape[0], num_res=num_res)


register_family(
    Family(
        'mmspd.DeepDeblur',
        'DeepDeblur',
        marks=('body_models.0.body.0.weight', 'conv_end_models.1.uppath.0.weight'),
        sizes=_arguments,
        published=(
            Published('deepdeblur', 'DeepDeblur', dict(base=64, num_res=19)),
            Published('deepdeblur', 'DeepDeblur of 6 blocks', dict(base=64, num_res=6)),
        ),
    )
)
