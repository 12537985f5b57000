"""ESPNetv2, a light segmentation network (Mehta et al., CVPR 2019), written from its paper.

Tensors are named as in the files that its authors publish, which load strictly.
"""

import math
from collections import OrderedDict
from typing import List, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.registry import MODELS

__all__ = ['ESPNetv2', 'ESPNetv2Backbone']

BRANCHES = 4
POOL_SCALES = (2.0, 1.5, 1.0, 0.5, 0.1)  # of the efficient pyramid pooling
SMALLEST_POOL = 5


class _ConvNormAct(nn.Module):
    """Convolution without bias, batch normalization and, unless it is left out, PReLU."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int, groups: int, act: bool
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False
        )
        self.bn = nn.BatchNorm2d(out_channels)
        if act:
            self.act = nn.PReLU(out_channels)
        self.has_act = act

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return self.act(x) if self.has_act else x


class _NormAct(nn.Module):
    """Batch normalization and PReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        self.act = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(x))


class _Dilated(nn.Module):
    """Depth-wise 3x3 convolution with gaps."""

    def __init__(self, channels: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            channels, channels, 3, stride, dilation, dilation, groups=channels, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def _dilations(receptive_field: int) -> List[int]:
    """Dilations of the branches: 1, 2, 3, 4, those that reach beyond the limit set back to 1."""
    reaching = range(1, BRANCHES + 1)
    return sorted(rate if 2 * rate + 1 <= receptive_field else 1 for rate in reaching)


class _EESP(nn.Module):
    """Extremely efficient spatial pyramid: reduce, look at several ranges, sum up, expand.

    Group-wise 1x1 reduction, depth-wise dilated convolutions whose outputs are added up from the
    smallest range to the largest (hierarchical feature fusion), group-wise 1x1 expansion.
    """

    def __init__(
        self, in_channels: int, out_channels: int, receptive_field: int, stride: int = 1
    ) -> None:
        super().__init__()
        inner = out_channels // BRANCHES
        self.stride = stride
        self.proj_1x1 = _ConvNormAct(in_channels, inner, 1, 1, BRANCHES, act=True)
        self.spp_dw = nn.ModuleList(
            _Dilated(inner, stride, dilation) for dilation in _dilations(receptive_field)
        )
        self.br_after_cat = _NormAct(out_channels)
        self.conv_1x1_exp = _ConvNormAct(out_channels, out_channels, 1, 1, BRANCHES, act=False)
        self.module_act = nn.PReLU(out_channels)
        if stride > 1:  # in the published files, though a strided unit ends before it
            self.module_act.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        reduced = self.proj_1x1(x)
        fused = [self.spp_dw[0](reduced)]
        for branch in self.spp_dw[1:]:
            fused.append(branch(reduced) + fused[-1])
        expanded = self.conv_1x1_exp(self.br_after_cat(torch.cat(fused, dim=1)))
        return expanded if self.stride > 1 else self.module_act(expanded + x)


class _StridedEESP(nn.Module):
    """Halves a feature: a strided EESP beside average pooling, plus a shortcut to the image."""

    def __init__(self, in_channels: int, out_channels: int, receptive_field: int) -> None:
        super().__init__()
        self.eesp = _EESP(in_channels, out_channels - in_channels, receptive_field, stride=2)
        self.inp_reinf = nn.Sequential(
            _ConvNormAct(3, 3, 3, 1, 1, act=True),
            _ConvNormAct(3, out_channels, 1, 1, 1, act=False),
        )
        self.act = nn.PReLU(out_channels)

    def forward(self, x: Tensor, img: Tensor) -> Tensor:
        """Halve ``x``; ``img`` is the image, already reduced to the resulting size."""
        halved = torch.cat([_halve(x), self.eesp(x)], dim=1)
        return self.act(halved + self.inp_reinf(img))


def _halve(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=2, padding=1)


class _Encoder(nn.Module):
    """The encoder: levels at strides 2, 4, 8 and 16, as many as are asked for."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.num_levels = len(widths)
        self.level1 = _ConvNormAct(3, widths[0], 3, 2, 1, act=True)
        if self.num_levels > 1:
            self.level2_0 = _StridedEESP(widths[0], widths[1], 13)
        if self.num_levels > 2:
            self.level3_0 = _StridedEESP(widths[1], widths[2], 11)
            self.level3 = nn.Sequential(*[_EESP(widths[2], widths[2], 9) for _ in range(3)])
        if self.num_levels > 3:
            self.level4_0 = _StridedEESP(widths[2], widths[3], 9)
            self.level4 = nn.Sequential(*[_EESP(widths[3], widths[3], 7) for _ in range(7)])

    def forward(self, img: Tensor) -> List[Tensor]:
        levels = [self.level1(img)]
        if self.num_levels > 1:
            img = _halve(_halve(img))
            levels.append(self.level2_0(levels[-1], img))
        if self.num_levels > 2:
            img = _halve(img)
            levels.append(self.level3(self.level3_0(levels[-1], img)))
        if self.num_levels > 3:
            levels.append(self.level4(self.level4_0(levels[-1], _halve(img))))
        return levels


def _widths(multiplier: float) -> List[int]:
    """Channels of the encoder's levels."""
    base = math.ceil(32 * multiplier / BRANCHES) * BRANCHES
    return [min(base, 32), base * 2, base * 4, base * 8]


@MODELS.register_module()
class ESPNetv2Backbone(BaseModule):
    """Encoder of ESPNetv2: features of a segmentation network, fine to coarse.

    Args:
        width_multiplier: s of the paper; 2.0 is its largest network.
        out_indices: levels to return, of 0 ... 3 at strides 2, 4, 8 and 16. Deeper ones are not
            built.
    """

    def __init__(
        self, width_multiplier: float = 2.0, out_indices: Sequence[int] = (0, 1, 2, 3)
    ) -> None:
        super().__init__()
        if not out_indices or not set(out_indices) <= set(range(4)):
            raise UserError(
                f'ESPNetv2 out_indices={tuple(out_indices)} must name levels out of 0, 1, 2 and 3.'
            )
        self.out_indices = tuple(out_indices)
        self.base_net = _Encoder(_widths(width_multiplier)[: max(out_indices) + 1])

    def forward(self, img: Tensor) -> Tuple[Tensor, ...]:
        """Extract features of ``(N, 3, H, W)``, RGB with ImageNet's mean and deviation."""
        levels = self.base_net(img)
        return tuple(levels[index] for index in self.out_indices)


def _named(name: str, *layers: nn.Module) -> nn.Sequential:
    """Layers under one more name, as the decoder's tensors have it."""
    return nn.Sequential(OrderedDict({name: nn.Sequential(*layers)}))


def _conv_norm_act(in_channels: int, out_channels: int, kernel: int, groups: int) -> nn.Module:
    conv = nn.Conv2d(
        in_channels, out_channels, kernel, padding=kernel // 2, groups=groups, bias=False
    )
    return _named('cbr', conv, nn.BatchNorm2d(out_channels), nn.PReLU(out_channels))


def _norm_act(channels: int) -> nn.Module:
    return _named('br', nn.BatchNorm2d(channels), nn.PReLU(channels))


def _resize(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, size=tuple(size), mode='bilinear', align_corners=True)


class _PyramidPool(nn.Module):
    """Efficient pyramid pooling: depth-wise convolutions at several scales of a thin feature."""

    def __init__(self, in_channels: int, inner: int, out_channels: int, last: bool) -> None:
        super().__init__()
        scales = len(POOL_SCALES)
        self.projection_layer = _conv_norm_act(in_channels, inner, 1, 1)
        self.stages = nn.ModuleList(
            nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=False) for _ in range(scales)
        )
        self.merge_layer = nn.Sequential(
            _norm_act(inner * scales),
            nn.ChannelShuffle(scales),  # the scales of one channel side by side
            _conv_norm_act(inner * scales, inner, 3, inner),
            nn.Conv2d(inner, out_channels, 1, bias=last),
        )
        self.br = nn.Identity() if last else _norm_act(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.projection_layer(x)
        height, width = x.shape[-2:]
        size = (height, width)
        scales = []
        for scale, stage in zip(POOL_SCALES, self.stages):
            rows, columns = (max(math.ceil(side * scale), SMALLEST_POOL) for side in size)
            scaled = (rows, columns)
            if scale > 1:
                scales.append(F.adaptive_avg_pool2d(stage(_resize(x, scaled)), size))
            elif scale < 1:
                scales.append(_resize(stage(F.adaptive_avg_pool2d(x, scaled)), size))
            else:
                scales.append(stage(x))
        return self.br(self.merge_layer(torch.cat(scales, dim=1)))


class _SkipProjection(nn.Module):
    """Brings an encoder feature to the decoder's channels, weighted by its global content."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.wt_layer = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            nn.Sigmoid(),
        )
        groups = math.gcd(in_channels, out_channels)
        self.expansion_layer = _conv_norm_act(in_channels, out_channels, 3, groups)

    def forward(self, x: Tensor) -> Tensor:
        return self.expansion_layer(x) * self.wt_layer(x)


@MODELS.register_module()
class ESPNetv2(ESPNetv2Backbone):
    """ESPNetv2 for semantic segmentation.

    Args:
        num_classes: 21 of the files trained on PASCAL VOC, 20 of those on Cityscapes.
        width_multiplier: s of the paper and of the files' names.
    """

    def __init__(self, num_classes: int, width_multiplier: float = 2.0) -> None:
        super().__init__(width_multiplier)
        *skips, deepest = _widths(width_multiplier)
        wide, middle, narrow = 64, 48, 32
        inner = min(num_classes // 2, 16)
        self.bu_dec_l1 = _PyramidPool(deepest, inner, wide, last=False)
        self.bu_dec_l2 = _PyramidPool(wide, inner, middle, last=False)
        self.bu_dec_l3 = _PyramidPool(middle, inner, narrow, last=False)
        self.bu_dec_l4 = _PyramidPool(narrow, inner, num_classes, last=True)
        self.merge_enc_dec_l2 = _SkipProjection(skips[2], wide)
        self.merge_enc_dec_l3 = _SkipProjection(skips[1], middle)
        self.merge_enc_dec_l4 = _SkipProjection(skips[0], narrow)
        self.bu_br_l2 = nn.Sequential(nn.BatchNorm2d(wide), nn.PReLU(wide))
        self.bu_br_l3 = nn.Sequential(nn.BatchNorm2d(middle), nn.PReLU(middle))
        self.bu_br_l4 = nn.Sequential(nn.BatchNorm2d(narrow), nn.PReLU(narrow))

    def forward(self, img: Tensor) -> Tensor:  # type: ignore[override]  # one map, no features
        """Segment an image.

        Args:
            img: ``(N, 3, H, W)``, RGB with ImageNet's mean and deviation, any size.

        Returns:
            Logits ``(N, num_classes, H, W)``.
        """
        half, quarter, eighth, deepest = self.base_net(img)
        dec = self.bu_dec_l1(deepest)
        for skip, project, norm_act, pool in (
            (eighth, self.merge_enc_dec_l2, self.bu_br_l2, self.bu_dec_l2),
            (quarter, self.merge_enc_dec_l3, self.bu_br_l3, self.bu_dec_l3),
            (half, self.merge_enc_dec_l4, self.bu_br_l4, self.bu_dec_l4),
        ):
            dec = pool(norm_act(project(skip) + _resize(dec, skip.shape[-2:])))
        return _resize(dec, img.shape[-2:])
