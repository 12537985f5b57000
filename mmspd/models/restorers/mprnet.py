"""MPRNet (Zamir et al., "Multi-Stage Progressive Image Restoration", CVPR 2021)."""

from functools import partial
from typing import Any, Dict, List, Tuple

import torch
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.models.restorers.base import Restorer
from mmspd.models.restorers.patches import COLUMNS, ROWS, join, split
from mmspd.models.restorers.stage_blocks import (
    CheckpointFn,
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

__all__ = ['MPRNet']


class ImageHead(nn.Module):
    """The image of a stage: a residual of its feature, added to the blurry input.

    Args:
        channels: channels of the feature.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv2 = conv(channels, 3, 1)

    def image(self, x: Tensor, img: Tensor) -> Tensor:
        """Map a feature ``(N, C, H, W)`` and the input to a restored ``(N, 3, H, W)``."""
        return self.conv2(x) + img


class SAM(ImageHead):
    """Supervised attention module: a stage's image, and its feature gated by that image.

    Args:
        channels: channels of the feature.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.conv1 = conv(channels, channels, 1)
        self.conv3 = conv(3, channels, 1)

    def forward(self, x: Tensor, img: Tensor) -> Tuple[Tensor, Tensor]:
        """Return the feature for the next stage, ``(N, C, H, W)``, and the image."""
        restored = self.image(x, img)
        return self.conv1(x) * self.conv3(restored).sigmoid() + x, restored


class ORB(nn.Module):
    """Original resolution block: attention blocks and a convolution, plus the input.

    Args:
        channels: channels of the input and the output.
        num_cab: number of attention blocks.
        act: the PReLU of the whole restorer.
        reduction: that of the channel attention.
    """

    def __init__(self, channels: int, num_cab: int, act: nn.PReLU, reduction: int) -> None:
        super().__init__()
        blocks = [StageBlock(channels, act, reduction) for _ in range(num_cab)]
        self.body = nn.Sequential(*blocks, conv(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``(N, C, H, W)``."""
        return self.body(x) + x


class ORSNet(nn.Module):
    """Original resolution subnetwork: takes in the U-Net's levels one by one, never shrinks.

    Args:
        widths: channels of the U-Net's levels, fine to coarse.
        channels: channels of the subnetwork.
        num_cab: attention blocks in each of its three parts.
        act: the PReLU of the whole restorer.
        reduction: that of the channel attention.
    """

    def __init__(
        self,
        widths: Tuple[int, int, int],
        channels: int,
        num_cab: int,
        act: nn.PReLU,
        reduction: int,
    ) -> None:
        super().__init__()
        for level in (1, 2, 3):
            self.add_module(f'orb{level}', ORB(channels, num_cab, act, reduction))
        fine, middle, coarse = widths
        for part in ('enc', 'dec'):
            # the official numbering: up_enc1 lifts the U-Net's level 2, up_enc2 its level 3
            self.add_module(f'up_{part}1', resample(middle, fine, 2))
            two_steps = nn.Sequential(resample(coarse, middle, 2), resample(middle, fine, 2))
            self.add_module(f'up_{part}2', two_steps)
            for level in (1, 2, 3):
                self.add_module(f'conv_{part}{level}', conv(fine, channels, 1))

    def forward(self, x: Tensor, checkpointed: CheckpointFn, previous: StageFeatures) -> Tensor:
        """Transform ``(N, C, H, W)``, guided by the levels of the U-Net before."""
        for level, enc, dec in zip((1, 2, 3), previous.enc, previous.dec):
            x = checkpointed(getattr(self, f'orb{level}'), x)
            if level > 1:
                enc = getattr(self, f'up_enc{level - 1}')(enc)
                dec = getattr(self, f'up_dec{level - 1}')(dec)
            x = x + getattr(self, f'conv_enc{level}')(enc) + getattr(self, f'conv_dec{level}')(dec)
        return x


@MODELS.register_module()
class MPRNet(Restorer):
    """Multi-stage progressive restoration; key names and numerics of the official code.

    Stage 1 encodes the four quadrants of the image by themselves and decodes its top and bottom
    halves; stage 2 encodes halves and decodes the whole; stage 3 works at full resolution. Patches
    lie side by side in the batch: nothing in the network looks across the batch, so this equals
    the official loop over patches. ``num_stages=1`` is the paper's "stage 1 model": the state dict
    is the part of the official one that makes its first image (``sam12.conv2`` is its head).

    Seams: ``stage1.dec3`` (stride 4, where no skip exists), ``stage1.dec2`` and ``stage1.dec1``,
    after the skip sums, and likewise ``stage2.*``. At a seam of stage 1 the halves are joined and
    cut again afterwards, so that the prior is that of the whole image and each seam runs once;
    without a prior, joining and cutting leave every value as it was.

    Args:
        base: channels of the U-Nets at full resolution; official 96.
        growth: channels that each lower level adds; official 48.
        orsnet_growth: channels that stage 3 has beyond ``base``; official 32.
        num_cab: attention blocks in each of the three parts of stage 3; official 8.
        reduction: how many times the channel attention's hidden layer is narrower; official 4.
        num_stages: 3, or 1 for the first stage alone.
        split_patches: cut the image as the official code does. ``False`` lets every stage see the
            whole image, without seams between patches; the same weights fit.
        outputs: ``'all'`` for the images of all stages, first to last; ``'last'`` for the last.
        with_cp: recompute the blocks' activations in the backward pass to save memory.

    Raises:
        UserError: ``num_stages`` is neither 1 nor 3.
    """

    def __init__(
        self,
        base: int = 96,
        growth: int = 48,
        orsnet_growth: int = 32,
        num_cab: int = 8,
        reduction: int = 4,
        num_stages: int = 3,
        split_patches: bool = True,
        outputs: str = 'all',
        with_cp: bool = False,
    ) -> None:
        super().__init__(outputs, with_cp)
        if num_stages not in (1, 3):
            raise UserError(
                f'MPRNet num_stages={num_stages} is unknown; use 3, or 1 for its first stage.'
            )
        self.num_stages = num_stages
        self.split_patches = split_patches
        self.multiple = 8 if split_patches else 4
        stages = ('stage1',) if num_stages == 1 else ('stage1', 'stage2')
        self.seam_groups = tuple(
            tuple(f'{stage}.dec{level}' for level in (3, 2, 1)) for stage in stages
        )
        self.seams = sum(self.seam_groups, ())

        act = nn.PReLU()
        widths = (base, base + growth, base + 2 * growth)
        self.shallow_feat1 = self._shallow(base, act, reduction)
        self.stage1_encoder = StageEncoder(widths, act, reduction)
        self.stage1_decoder = StageDecoder(widths, act, reduction)
        if num_stages == 1:
            self.sam12 = ImageHead(base)
            return
        self.sam12 = SAM(base)
        self.shallow_feat2 = self._shallow(base, act, reduction)
        self.concat12 = conv(base * 2, base)
        self.stage2_encoder = StageEncoder(widths, act, reduction, csff=True)
        self.stage2_decoder = StageDecoder(widths, act, reduction)
        self.sam23 = SAM(base)
        self.shallow_feat3 = self._shallow(base, act, reduction)
        self.concat23 = conv(base * 2, base + orsnet_growth)
        self.stage3_orsnet = ORSNet(widths, base + orsnet_growth, num_cab, act, reduction)
        self.tail = conv(base + orsnet_growth, 3)

    @staticmethod
    def _shallow(base: int, act: nn.PReLU, reduction: int) -> nn.Sequential:
        return nn.Sequential(conv(3, base), StageBlock(base, act, reduction))

    def _cut(self, x: Tensor, dim: int) -> Tensor:
        return split(x, dim) if self.split_patches else x

    def _join(self, x: Tensor, dim: int) -> Tensor:
        return join(x, dim) if self.split_patches else x

    def forward_padded(self, img: Tensor, fuse: FuseFn) -> List[Tensor]:
        """Restore ``(N, 3, H, W)`` to the images of the stages, first to last."""
        halves = self._cut(img, ROWS)
        x = self.checkpointed(self.shallow_feat1, self._cut(halves, COLUMNS))  # quadrants
        enc = [self._join(z, COLUMNS) for z in self.stage1_encoder(x, self.checkpointed)]
        dec = self.stage1_decoder(enc, self.checkpointed, partial(self._fuse_whole, fuse))
        if self.num_stages == 1:
            return [self._join(self.sam12.image(dec[0], halves), ROWS)]

        gated, image1 = self.sam12(dec[0], halves)
        x = torch.cat([self.checkpointed(self.shallow_feat2, halves), gated], dim=1)
        enc = self.stage2_encoder(self.concat12(x), self.checkpointed, StageFeatures(enc, dec))
        enc = [self._join(z, ROWS) for z in enc]
        dec = self.stage2_decoder(
            enc, self.checkpointed, lambda level, z: fuse(f'stage2.{level}', z)
        )

        gated, image2 = self.sam23(dec[0], img)
        x = torch.cat([self.checkpointed(self.shallow_feat3, img), gated], dim=1)
        x = self.stage3_orsnet(self.concat23(x), self.checkpointed, StageFeatures(enc, dec))
        return [self._join(image1, ROWS), image2, self.tail(x) + img]

    def _fuse_whole(self, fuse: FuseFn, level: str, dec: Tensor) -> Tensor:
        """Fuse the whole image's prior into a feature of stage 1, which is in halves."""
        return self._cut(fuse(f'stage1.{level}', self._join(dec, ROWS)), ROWS)


def _arguments(state: Dict[str, Tensor]) -> Dict[str, Any]:
    """Read the arguments off a state dict, of three stages or of the first one."""
    base = state['shallow_feat1.0.weight'].shape[0]
    growth = state['stage1_encoder.down12.down.1.weight'].shape[0] - base
    narrow = state['shallow_feat1.1.CA.conv_du.0.weight'].shape[0]
    sizes = dict(base=base, growth=growth, reduction=base // narrow)
    if 'tail.weight' not in state:
        return dict(sizes, num_stages=1)
    num_cab = count_modules(state, r'stage3_orsnet\.orb\d\.body\.(\d+)\.body')
    return dict(sizes, orsnet_growth=state['tail.weight'].shape[1] - base, num_cab=num_cab)


_STAGE1 = dict(base=96, growth=48, reduction=4)

register_family(
    Family(
        'mmspd.MPRNet',
        'MPRNet',
        marks=(
            'shallow_feat1.0.weight',
            'shallow_feat1.1.CA.conv_du.0.weight',
            'stage1_encoder.down12.down.1.weight',
        ),
        sizes=_arguments,
        published=(
            Published('mprnet', 'MPRNet', dict(_STAGE1, orsnet_growth=32, num_cab=8)),
            Published('mprnet', 'stage 1 of MPRNet', dict(_STAGE1, num_stages=1)),
        ),
        later_stages=r'shallow_feat[23]|stage[23]_|sam12\.conv[13]|sam23|concat|tail',
    )
)
