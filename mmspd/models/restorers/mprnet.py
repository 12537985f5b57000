"""MPRNet (Zamir et al., "Multi-Stage Progressive Image Restoration", CVPR 2021)."""

from functools import partial
from typing import Any, Dict, List, Optional, Tuple

import torch
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.models.restorers.base import Restorer
from mmspd.models.restorers.patches import COLUMNS, ROWS, join, run_on_patches, split
from mmspd.models.restorers.stage_blocks import (
    LEVELS,
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
from mmspd.weights.published import (
    Family,
    Published,
    count_modules,
    register_family,
    switched_off,
)

__all__ = ['MPRNet']


class ImageHead(nn.Module):
    """Computes the image of a stage: the blurry image plus a residual from the stage's feature.

    Args:
        channels: Channels of the feature.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv2 = conv(channels, 3, 1)

    def forward(self, x: Tensor, img: Tensor) -> Tuple[Tensor, Tensor]:
        """Restore an image from a feature.

        Args:
            x: Feature ``(N, C, H, W)``.
            img: Blurry image ``(N, 3, H, W)``.

        Returns:
            The feature for the next stage, ``(N, C, H, W)``, and the restored image
            ``(N, 3, H, W)``.
        """
        return x, self.conv2(x) + img


class SAM(ImageHead):
    """Supervised attention module: restores an image and gates the feature with this image.

    Args:
        channels: Channels of the feature.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.conv1 = conv(channels, channels, 1)
        self.conv3 = conv(3, channels, 1)

    def forward(self, x: Tensor, img: Tensor) -> Tuple[Tensor, Tensor]:
        """Restore an image and gate the feature; as in :class:`ImageHead`."""
        x, restored = super().forward(x, img)
        return self.conv1(x) * self.conv3(restored).sigmoid() + x, restored


class ORB(nn.Module):
    """Original resolution block: attention blocks and a convolution, plus the input.

    Args:
        channels: Channels of the input and the output.
        num_cab: Number of attention blocks.
        act: The PReLU that the whole restorer shares.
        reduction: Ratio of the channels to the hidden channels of the channel attention.
    """

    def __init__(self, channels: int, num_cab: int, act: nn.PReLU, reduction: int) -> None:
        super().__init__()
        blocks = [StageBlock(channels, act, reduction) for _ in range(num_cab)]
        self.body = nn.Sequential(*blocks, conv(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``(N, C, H, W)``."""
        return self.body(x) + x


class ORSNet(nn.Module):
    """Original resolution subnetwork: three blocks at full resolution.

    After each block, it adds the features of a level of the previous U-Net (cross-stage feature
    fusion).

    Args:
        widths: Channels of the levels of the U-Net, fine to coarse.
        channels: Channels of the subnetwork.
        num_cab: Number of attention blocks in each of the three parts of the subnetwork.
        act: The PReLU that the whole restorer shares.
        reduction: Ratio of the channels to the hidden channels of the channel attention.
        csff: Whether :meth:`forward` fuses the features of the previous U-Net.
    """

    def __init__(
        self,
        widths: Tuple[int, int, int],
        channels: int,
        num_cab: int,
        act: nn.PReLU,
        reduction: int,
        csff: bool,
    ) -> None:
        super().__init__()
        for level in LEVELS:
            self.add_module(f'orb{level}', ORB(channels, num_cab, act, reduction))
        if csff:
            self._add_fusion(widths, channels)

    def _add_fusion(self, widths: Tuple[int, int, int], channels: int) -> None:
        """Add the layers that bring the levels of a U-Net to the size of the subnetwork."""
        fine, middle, coarse = widths
        for part in ('enc', 'dec'):
            # The official numbers are one too low: up_enc1 enlarges level 2, up_enc2 level 3.
            self.add_module(f'up_{part}1', resample(middle, fine, 2))
            two_steps = nn.Sequential(resample(coarse, middle, 2), resample(middle, fine, 2))
            self.add_module(f'up_{part}2', two_steps)
            for level in LEVELS:
                self.add_module(f'conv_{part}{level}', conv(fine, channels, 1))

    def forward(
        self, x: Tensor, checkpointed: CheckpointFn, previous: Optional[StageFeatures]
    ) -> Tensor:
        """Transform a feature.

        Args:
            x: Feature ``(N, C, H, W)``.
            checkpointed: Function that runs a block, such as :meth:`Restorer.checkpointed`.
            previous: Features of the previous stage's U-Net; ``None`` without ``csff``.

        Returns:
            A feature ``(N, C, H, W)``.
        """
        for level in LEVELS:
            x = checkpointed(getattr(self, f'orb{level}'), x)
            if previous is not None:
                x = x + self._at_full_size('enc', level, previous.enc[level - 1])
                x = x + self._at_full_size('dec', level, previous.dec[level - 1])
        return x

    def _at_full_size(self, part: str, level: int, feature: Tensor) -> Tensor:
        """Enlarge a feature of the U-Net's encoder or decoder and adapt its channels."""
        if level > 1:
            feature = getattr(self, f'up_{part}{level - 1}')(feature)
        return getattr(self, f'conv_{part}{level}')(feature)


@MODELS.register_module()
class MPRNet(Restorer):
    """Multi-stage network with the state-dict names and numerics of the official code.

    Stage 1 encodes each quadrant of the image and decodes the top and the bottom half. Stage 2
    encodes the halves and decodes the whole image. Stage 3 works at full resolution. The patches
    run as one batch; for inference on a CPU, the quadrants run one after another. The result equals
    the result of the official loop over patches, because the network has no operations across the
    batch. ``num_stages=1`` is the paper's "stage 1 model". Its
    state dict is the part of the official state dict that computes the first image;
    ``sam12.conv2`` is the output layer.

    ``sam`` and ``csff`` switch the modules of the MPRNet paper between the stages. Without both,
    the network is the baseline of Table 3. Without ``sam``, a 1x1 convolution (``sam12.conv2``,
    ``sam23.conv2``) still computes the image of a stage, and the next stage gets the feature as it
    is. The state dict lacks only the tensors of the modules that are switched off.

    The seams of stage 1 are ``stage1.dec3`` (stride 4, without a skip), and ``stage1.dec2`` and
    ``stage1.dec1`` after the skip sums. Stage 2 has the corresponding seams ``stage2.dec3`` ...
    ``stage2.dec1``. At a seam of stage 1, the halves are joined before ``fuse`` and cut after it.
    So ``fuse`` gets the feature of the whole image, and each seam runs once. Without a prior,
    joining and cutting do not change any value.

    Args:
        base: Channels of the U-Nets at full resolution; official 96.
        growth: Channels that each coarser level adds; official 48.
        orsnet_growth: Channels of stage 3 in addition to ``base``; official 32.
        num_cab: Number of attention blocks in each of the three parts of stage 3; official 8.
        reduction: Ratio of the channels to the hidden channels of the channel attention; official
            4.
        num_stages: 3, or 1 for the first stage only.
        sam: Gate the feature for the next stage with the image of the stage (supervised attention).
        csff: Add the features of a stage's U-Net to the features of the next stage (cross-stage
            feature fusion).
        split_patches: Cut the image as the official code does. With ``False``, every stage gets the
            whole image, so there are no borders between patches. Both settings use the same
            weights.
        outputs: ``'all'`` returns the images of all stages, first to last; ``'last'`` returns only
            the image of the last stage.
        with_cp: Recompute the blocks' activations in the backward pass to save memory.

    Raises:
        UserError: ``num_stages`` is neither 1 nor 3; ``sam`` or ``csff`` is switched off for one
            stage; or ``outputs`` is unknown.

    Examples:
        >>> import torch
        >>> from mmspd.models.restorers import MPRNet
        >>> network = MPRNet(base=8, growth=4, orsnet_growth=4, num_cab=1)
        >>> [tuple(image.shape) for image in network(torch.rand(1, 3, 32, 48))]
        [(1, 3, 32, 48), (1, 3, 32, 48), (1, 3, 32, 48)]
    """

    def __init__(
        self,
        base: int = 96,
        growth: int = 48,
        orsnet_growth: int = 32,
        num_cab: int = 8,
        reduction: int = 4,
        num_stages: int = 3,
        sam: bool = True,
        csff: bool = True,
        split_patches: bool = True,
        outputs: str = 'all',
        with_cp: bool = False,
    ) -> None:
        super().__init__(outputs, with_cp)
        if num_stages not in (1, 3):
            raise UserError(
                f'MPRNet has num_stages={num_stages}; use 3, or 1 for the first stage only.'
            )
        if num_stages == 1 and not (sam and csff):
            raise UserError(
                f'MPRNet has num_stages=1, sam={sam} and csff={csff}; leave out sam and csff, '
                'because one stage has no modules between stages.'
            )
        self.num_stages = num_stages
        self.csff = csff
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
        head = SAM if sam else ImageHead
        self.sam12 = head(base)
        self.shallow_feat2 = self._shallow(base, act, reduction)
        self.concat12 = conv(base * 2, base)
        self.stage2_encoder = StageEncoder(widths, act, reduction, csff)
        self.stage2_decoder = StageDecoder(widths, act, reduction)
        self.sam23 = head(base)
        self.shallow_feat3 = self._shallow(base, act, reduction)
        self.concat23 = conv(base * 2, base + orsnet_growth)
        self.stage3_orsnet = ORSNet(widths, base + orsnet_growth, num_cab, act, reduction, csff)
        self.tail = conv(base + orsnet_growth, 3)

    @staticmethod
    def _shallow(base: int, act: nn.PReLU, reduction: int) -> nn.Sequential:
        return nn.Sequential(conv(3, base), StageBlock(base, act, reduction))

    def _cut(self, x: Tensor, dim: int) -> Tensor:
        return split(x, dim) if self.split_patches else x

    def _join(self, x: Tensor, dim: int) -> Tensor:
        return join(x, dim) if self.split_patches else x

    def forward_padded(self, img: Tensor, fuse: FuseFn) -> List[Tensor]:
        """Restore an image with every stage.

        Args:
            img: Blurry image ``(N, 3, H, W)``; H and W are multiples of :attr:`multiple`.
            fuse: Function that is called at every seam.

        Returns:
            The images of the stages, first to last, each ``(N, 3, H, W)``.
        """
        halves = self._cut(img, ROWS)
        quadrants = self._cut(halves, COLUMNS)
        enc = run_on_patches(self._encode_stage1, quadrants, 4 if self.split_patches else 1)
        enc = [self._join(z, COLUMNS) for z in enc]
        dec = self.stage1_decoder(enc, self.checkpointed, partial(self._fuse_whole, fuse))
        x, image = self.sam12(dec[0], halves)
        images = [self._join(image, ROWS)]
        if self.num_stages == 1:
            return images

        x = torch.cat([self.checkpointed(self.shallow_feat2, halves), x], dim=1)
        enc = self.stage2_encoder(self.concat12(x), self.checkpointed, self._passed_on(enc, dec))
        enc = [self._join(z, ROWS) for z in enc]
        dec = self.stage2_decoder(
            enc, self.checkpointed, lambda level, z: fuse(f'stage2.{level}', z)
        )

        x, image = self.sam23(dec[0], img)
        x = torch.cat([self.checkpointed(self.shallow_feat3, img), x], dim=1)
        x = self.stage3_orsnet(self.concat23(x), self.checkpointed, self._passed_on(enc, dec))
        return [*images, image, self.tail(x) + img]

    def _encode_stage1(self, patches: Tensor) -> List[Tensor]:
        x = self.checkpointed(self.shallow_feat1, patches)
        return self.stage1_encoder(x, self.checkpointed)

    def _passed_on(self, enc: List[Tensor], dec: List[Tensor]) -> Optional[StageFeatures]:
        """Return the features of a U-Net for the next stage, or ``None`` without ``csff``."""
        return StageFeatures(enc, dec) if self.csff else None

    def _fuse_whole(self, fuse: FuseFn, level: str, dec: Tensor) -> Tensor:
        """Join the halves of a feature of stage 1, fuse the prior into it, and cut it again."""
        return self._cut(fuse(f'stage1.{level}', self._join(dec, ROWS)), ROWS)


def _arguments(state: Dict[str, Tensor]) -> Dict[str, Any]:
    """Read the arguments of the constructor from a state dict of three stages or one stage."""
    base = state['shallow_feat1.0.weight'].shape[0]
    growth = state['stage1_encoder.down12.down.1.weight'].shape[0] - base
    narrow = state['shallow_feat1.1.CA.conv_du.0.weight'].shape[0]
    sizes = dict(base=base, growth=growth, reduction=base // narrow)
    if 'tail.weight' not in state:
        return dict(sizes, num_stages=1)
    num_cab = count_modules(state, r'stage3_orsnet\.orb\d\.body\.(\d+)\.body')
    sizes.update(orsnet_growth=state['tail.weight'].shape[1] - base, num_cab=num_cab)
    return dict(sizes, **switched_off(state, sam='sam12.conv1.', csff='stage2_encoder.csff_'))


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
