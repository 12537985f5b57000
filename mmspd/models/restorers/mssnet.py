"""MSSNet (Kim et al., "Multi-Scale-Stage Network for Single Image Deblurring", ECCVW 2022)."""

from typing import Any, Dict, List, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.models.restorers.base import Restorer
from mmspd.models.restorers.stage_blocks import (
    StageBlock,
    StageDecoder,
    StageEncoder,
    StageFeatures,
    conv,
    resample,
)
from mmspd.models.seams import FuseFn
from mmspd.registry import MODELS
from mmspd.weights.published import Family, Published, count_modules, register_family

__all__ = ['MSSNet']

SCALES = (1, 2, 3)


def _double(x: Tensor) -> Tensor:
    """Enlarge a feature by 2 with bilinear interpolation."""
    return F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)


class ShuffleTail(nn.Module):
    """Converts a feature to an image of twice the size by a convolution and a pixel shuffle.

    Args:
        channels: Channels of the feature.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.tail = conv(channels, 12)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, 3, 2H, 2W)``."""
        return F.pixel_shuffle(self.tail(x), 2)


@MODELS.register_module()
class MSSNet(Restorer):
    """Multi-scale-stage network with the state-dict names and numerics of the official code.

    The network has six U-Nets: one at scale 1, two at scale 2, three at scale 3. Scale 1 gets the
    half-size image and scale 2 the full image. A pixel unshuffle follows, so scales 1 and 2 work at
    strides 4 and 2. Scale 3 works at full resolution. The half-size image is resized bilinearly
    with aligned corners. The training target of scale 1 must be resized in the same way
    (``multi_scale_targets='bilinear_corners'``).

    The input of a U-Net is the finest decoder feature of the previous U-Net. Cross-stage fusion
    adds all encoder and decoder features of the previous U-Net to the encoder. From one scale to
    the next, the input and these features are enlarged. The input is then fused with a shallow
    feature of the image at the new scale.

    The defaults are MSSNet (15.6 M parameters). ``MSSNet(20, 40, 40)`` is MSSNet-small (6.8 M) and
    ``MSSNet(80, 50, 50)`` is MSSNet-large (28.2 M).

    Every U-Net has the seams ``dec3``, ``dec2`` and ``dec1``, prefixed with the name of its
    decoder: ``D1_1.dec3`` (stride 16) ... ``D3_3.dec1`` (stride 1). ``dec3`` has no skip; ``dec2``
    and ``dec1`` come after the skip sums. Each U-Net gets all levels of the prior.

    Args:
        base: Channels of the U-Nets at their finest level.
        growth: Channels that the middle level has in addition to ``base``.
        coarse_growth: Channels that the coarsest level has in addition to the middle level.
        num_unets: Number of U-Nets at scales 1, 2 and 3; official (1, 2, 3).
        outputs: ``'all'`` returns the image of every U-Net, at half size for scale 1 and at full
            size for scales 2 and 3; ``'last'`` returns only the image of the last U-Net.
        with_cp: Recompute the blocks' activations in the backward pass to save memory.

    Raises:
        UserError: ``num_unets`` is not three positive numbers, or ``outputs`` is unknown.

    Examples:
        >>> import torch
        >>> from mmspd.models.restorers import MSSNet
        >>> network = MSSNet(base=8, growth=4, coarse_growth=4, num_unets=(1, 1, 2))
        >>> [tuple(image.shape) for image in network(torch.rand(1, 3, 32, 48))]
        [(1, 3, 16, 24), (1, 3, 32, 48), (1, 3, 32, 48), (1, 3, 32, 48)]
    """

    multiple = 16

    def __init__(
        self,
        base: int = 54,
        growth: int = 42,
        coarse_growth: int = 42,
        num_unets: Tuple[int, int, int] = (1, 2, 3),
        outputs: str = 'all',
        with_cp: bool = False,
    ) -> None:
        super().__init__(outputs, with_cp)
        if len(num_unets) != 3 or min(num_unets) < 1:
            raise UserError(
                f'MSSNet has num_unets={num_unets!r}; give three positive numbers, the U-Nets at '
                'scales 1, 2 and 3.'
            )
        self.unets = tuple(
            tuple(f'{scale}_{unet + 1}' for unet in range(count))
            for scale, count in zip(SCALES, num_unets)
        )
        self.seam_groups = tuple(
            tuple(f'D{name}.dec{level}' for level in (3, 2, 1))
            for names in self.unets
            for name in names
        )
        self.seams = sum(self.seam_groups, ())

        act = nn.PReLU()
        widths = (base, base + growth, base + growth + coarse_growth)
        for scale, names, channels in zip(SCALES, self.unets, (12, 12, 3)):
            shallow = nn.Sequential(conv(channels, base), StageBlock(base, act))
            self.add_module(f'shallow_feat{scale}', shallow)
            for name in names:
                self.add_module(f'E{name}', StageEncoder(widths, act, csff=name != '1_1'))
                self.add_module(f'D{name}', StageDecoder(widths, act))
                self.add_module(f'tail{name}', conv(base, 3) if scale == 3 else ShuffleTail(base))
        self.up_scale1_feat = resample(base, base, 2, 'scaleUp')
        self.up_scale2_feat = resample(base, base, 2, 'scaleUp')
        self.fusion12 = conv(base * 2, base)
        self.fusion23 = conv(base * 2, base)

    def forward_padded(self, img: Tensor, fuse: FuseFn) -> List[Tensor]:
        """Restore an image with every U-Net.

        Args:
            img: Blurry image ``(N, 3, H, W)``; H and W are multiples of 16.
            fuse: Function that is called at every seam.

        Returns:
            The images of the U-Nets, first to last, half size at scale 1, full size at scales 2
            and 3.
        """
        half = F.interpolate(img, scale_factor=0.5, mode='bilinear', align_corners=True)
        outputs: List[Tensor] = []
        previous: Optional[StageFeatures] = None
        for scale, blurry, names in zip(SCALES, (half, img, img), self.unets):
            x = blurry if scale == 3 else F.pixel_unshuffle(blurry, 2)
            x = self.checkpointed(getattr(self, f'shallow_feat{scale}'), x)
            if previous is not None:
                x, previous = self._to_next_scale(scale, x, previous)
            for name in names:
                enc = getattr(self, f'E{name}')(x, self.checkpointed, previous)
                dec = getattr(self, f'D{name}')(
                    enc, self.checkpointed, lambda level, z, name=name: fuse(f'D{name}.{level}', z)
                )
                previous = StageFeatures(enc, dec)
                x = dec[0]
                outputs.append(blurry + getattr(self, f'tail{name}')(x))
        return outputs

    def _to_next_scale(
        self, scale: int, shallow: Tensor, previous: StageFeatures
    ) -> Tuple[Tensor, StageFeatures]:
        """Return the input of the next U-Net and the enlarged features of the previous scale."""
        names = ('up_scale1_feat', 'fusion12') if scale == 2 else ('up_scale2_feat', 'fusion23')
        up, fusion = (getattr(self, name) for name in names)
        x = fusion(torch.cat([shallow, up(previous.dec[0])], dim=1))
        enc, dec = ([_double(z) for z in features] for features in previous)
        return x, StageFeatures(enc, dec)


def _arguments(state: Dict[str, Tensor]) -> Dict[str, Any]:
    """Read the arguments of the constructor from a state dict."""
    base = state['shallow_feat1.0.weight'].shape[0]
    middle, coarse = (state[f'E1_1.down{step}.down.1.weight'].shape[0] for step in (12, 23))
    # The numbers of the U-Nets start at 1.
    num_unets = tuple(count_modules(state, rf'E{scale}_(\d+)\.') - 1 for scale in SCALES)
    return dict(base=base, growth=middle - base, coarse_growth=coarse - middle, num_unets=num_unets)


def _published(title: str, base: int, growth: int) -> Published:
    sizes = dict(base=base, growth=growth, coarse_growth=growth, num_unets=(1, 2, 3))
    return Published('mssnet', title, sizes)


register_family(
    Family(
        'mmspd.MSSNet',
        'MSSNet',
        marks=(
            'shallow_feat1.0.weight',
            'E1_1.down12.down.1.weight',
            'E1_1.down23.down.1.weight',
        ),
        sizes=_arguments,
        published=(
            _published('MSSNet', 54, 42),
            _published('MSSNet-small', 20, 40),
            _published('MSSNet-large', 80, 50),
        ),
    )
)
