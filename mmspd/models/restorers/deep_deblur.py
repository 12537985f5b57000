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
    """The network of one scale: convolution, residual blocks, convolution to an image."""
    blocks = [nn.Sequential(OrderedDict(body=ConvPair(base, KERNEL_SIZE))) for _ in range(num_res)]
    body = nn.Sequential(_conv(in_channels, base), *blocks, _conv(base, 3))
    return nn.Sequential(OrderedDict(body=body))


def _enlarger() -> nn.Sequential:
    """Learned enlargement by 2 of an image, not of a feature."""
    return nn.Sequential(OrderedDict(uppath=nn.Sequential(_conv(3, 12), nn.PixelShuffle(2))))


@MODELS.register_module()
class DeepDeblur(Restorer):
    """Multi-scale residual network; key names and numerics of the authors' PyTorch code.

    Defaults are the published network (11.7 M parameters); ``DeepDeblur(num_res=6)`` is the
    paper's (3.7 M). One network per level of a Gaussian pyramid of the input, the coarsest first;
    the next one sees its own level and the enlarged result. The networks compute on 0..255 minus
    127.5, since their biases do not scale, and no input is added to an output. The targets of
    training are a Gaussian pyramid too: ``model.multi_scale_targets='gaussian'``.

    Seams: there is no decoder, so each network takes the prior of its resolution half way through
    its residual blocks: ``scale2`` (stride 4), ``scale1`` and ``scale0`` (full resolution).

    Args:
        base: channels; official 64.
        num_res: residual blocks of each network; official 19.
        outputs: ``'all'`` for the three scales, 1/4, 1/2 and full resolution; ``'last'`` for the
            last alone.
        with_cp: recompute the blocks' activations in the backward pass to save memory.
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
        # by the scale whose output is enlarged: 0, full resolution, has none
        self.conv_end_models = nn.ModuleDict(
            {str(scale): _enlarger() for scale in range(1, NUM_SCALES)}
        )

    def forward_padded(self, img: Tensor, fuse: FuseFn) -> List[Tensor]:
        """Restore ``(N, 3, H, W)`` at 1/4, 1/2 and full resolution."""
        pyramid = [img]
        for _ in range(1, NUM_SCALES):
            pyramid.append(gaussian_half(pyramid[-1]))
        shifted = [level * 255 - 127.5 for level in pyramid]

        z, results = shifted[-1], []
        for scale in reversed(range(NUM_SCALES)):
            z = self._restore_scale(scale, z, fuse)  # (N, 3, H / 2^scale, W / 2^scale)
            # to the image's type: 127.5 plus a half-precision number loses more bits than it has
            results.append((z.to(img.dtype) + 127.5) / 255)
            if scale > 0:
                z = torch.cat([shifted[scale - 1], self.conv_end_models[str(scale)](z)], dim=1)
        return results

    def _restore_scale(self, scale: int, x: Tensor, fuse: FuseFn) -> Tensor:
        """Restore one scale, on values of -127.5..127.5."""
        first, *blocks, last = cast(nn.Sequential, self.body_models[scale].body)
        x = first(x)
        for block in blocks[: self.half_way]:
            x = self.checkpointed(block, x)
        x = fuse(f'scale{scale}', x)
        for block in blocks[self.half_way :]:
            x = self.checkpointed(block, x)
        return last(x)


def _arguments(state: Dict[str, Tensor]) -> Dict[str, Any]:
    """Read the arguments off a state dict."""
    num_res = count_modules(state, r'body_models\.\d\.body\.(\d+)') - 2  # two are convolutions
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
