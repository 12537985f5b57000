"""ESPNetv2, a light segmentation network, implemented from its paper.

The parameters have the same names as in the weight files of the authors, so these files load
strictly.

Source: Mehta et al., "ESPNetv2: A Light-weight, Power Efficient, and General Purpose Convolutional
Neural Network", CVPR 2019.
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
POOL_SCALES = (2.0, 1.5, 1.0, 0.5, 0.1)  # scales of the efficient pyramid pooling
SMALLEST_POOL = 5  # smallest side of a scaled feature in pixels


class _ConvNormAct(nn.Module):
    """Convolution without bias, batch normalization and optionally PReLU."""

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
    """Depth-wise dilated 3x3 convolution."""

    def __init__(self, channels: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            channels, channels, 3, stride, dilation, dilation, groups=channels, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def _dilations(receptive_field: int) -> List[int]:
    """Return the dilations of the branches.

    The dilations are 1, 2, 3 and 4. A dilation is replaced by 1 if the dilated kernel would exceed
    the receptive field.
    """
    rates = range(1, BRANCHES + 1)
    return sorted(rate if 2 * rate + 1 <= receptive_field else 1 for rate in rates)


class _EESP(nn.Module):
    """Extremely efficient spatial pyramid (EESP).

    A group-wise 1x1 convolution reduces the channels. Depth-wise dilated convolutions follow, and
    their outputs are summed up from the smallest dilation to the largest (hierarchical feature
    fusion). A group-wise 1x1 convolution expands the channels.
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
        if stride > 1:  # the published files contain this PReLU, but a strided unit does not use it
            self.module_act.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        reduced = self.proj_1x1(x)
        fused = [self.spp_dw[0](reduced)]
        for branch in self.spp_dw[1:]:
            fused.append(branch(reduced) + fused[-1])
        expanded = self.conv_1x1_exp(self.br_after_cat(torch.cat(fused, dim=1)))
        return expanded if self.stride > 1 else self.module_act(expanded + x)


class _StridedEESP(nn.Module):
    """Halves a feature and adds the projected image.

    A strided EESP and average pooling halve the feature. Their outputs are concatenated. Then the
    projected image is added.
    """

    def __init__(self, in_channels: int, out_channels: int, receptive_field: int) -> None:
        super().__init__()
        self.eesp = _EESP(in_channels, out_channels - in_channels, receptive_field, stride=2)
        self.inp_reinf = nn.Sequential(
            _ConvNormAct(3, 3, 3, 1, 1, act=True),
            _ConvNormAct(3, out_channels, 1, 1, 1, act=False),
        )
        self.act = nn.PReLU(out_channels)

    def forward(self, x: Tensor, img: Tensor) -> Tensor:
        """Halve a feature.

        Args:
            x: Feature ``(N, C, H, W)``.
            img: The image, reduced to the size of the result.

        Returns:
            ``(N, out_channels, ceil(H / 2), ceil(W / 2))``.
        """
        halved = torch.cat([_halve(x), self.eesp(x)], dim=1)
        return self.act(halved + self.inp_reinf(img))


def _halve(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=2, padding=1)


class _Encoder(nn.Module):
    """Encoder with one to four levels, at strides 2, 4, 8 and 16."""

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
    """Return the channels of the encoder levels, fine to coarse."""
    base = math.ceil(32 * multiplier / BRANCHES) * BRANCHES
    return [min(base, 32), base * 2, base * 4, base * 8]


@MODELS.register_module()
class ESPNetv2Backbone(BaseModule):
    """Encoder of ESPNetv2, which returns features of a segmentation network.

    Args:
        width_multiplier: The factor s of the paper. The largest network of the paper has s = 2.0.
        out_indices: Levels to return. Levels 0, 1, 2 and 3 have strides 2, 4, 8 and 16. Levels
            deeper than the deepest returned level are not built.

    Raises:
        UserError: ``out_indices`` is empty or names an unknown level.

    Examples:
        >>> import torch
        >>> from mmspd.models.teachers import ESPNetv2Backbone
        >>> net = ESPNetv2Backbone(width_multiplier=0.5, out_indices=(0, 1)).eval()
        >>> [tuple(feature.shape) for feature in net(torch.zeros(1, 3, 32, 32))]
        [(1, 16, 16, 16), (1, 32, 8, 8)]
    """

    def __init__(
        self, width_multiplier: float = 2.0, out_indices: Sequence[int] = (0, 1, 2, 3)
    ) -> None:
        super().__init__()
        if not out_indices or not set(out_indices) <= set(range(4)):
            raise UserError(
                f'ESPNetv2Backbone.out_indices={tuple(out_indices)} is invalid; use one or more of '
                '0, 1, 2 and 3.'
            )
        self.out_indices = tuple(out_indices)
        self.base_net = _Encoder(_widths(width_multiplier)[: max(out_indices) + 1])

    def forward(self, img: Tensor) -> Tuple[Tensor, ...]:
        """Extract features.

        Args:
            img: ``(N, 3, H, W)``, RGB, normalized by ImageNet's mean and standard deviation.

        Returns:
            One feature per index of ``out_indices``, in that order.
        """
        levels = self.base_net(img)
        return tuple(levels[index] for index in self.out_indices)


def _named(name: str, *layers: nn.Module) -> nn.Sequential:
    """Put layers into a submodule with this name.

    The names of the published decoder weights contain this name.
    """
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
    """Efficient pyramid pooling: depth-wise convolutions at several scales of a reduced feature."""

    def __init__(self, in_channels: int, inner: int, out_channels: int, last: bool) -> None:
        super().__init__()
        scales = len(POOL_SCALES)
        self.projection_layer = _conv_norm_act(in_channels, inner, 1, 1)
        self.stages = nn.ModuleList(
            nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=False) for _ in range(scales)
        )
        self.merge_layer = nn.Sequential(
            _norm_act(inner * scales),
            nn.ChannelShuffle(scales),  # puts the scales of one channel side by side
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
    """Projects an encoder feature to the channels of the decoder and scales these channels.

    The scales are computed from the global average of the encoder feature.
    """

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
        num_classes: Number of classes. The published files have 21 (PASCAL VOC) or 20 (Cityscapes).
        width_multiplier: The factor s of the paper and of the names of the published files.

    Examples:
        >>> import torch
        >>> from mmspd.models.teachers import ESPNetv2
        >>> net = ESPNetv2(num_classes=21, width_multiplier=0.5).eval()
        >>> net(torch.zeros(1, 3, 35, 45)).shape
        torch.Size([1, 21, 35, 45])
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
            img: ``(N, 3, H, W)``, RGB, normalized by ImageNet's mean and standard deviation. Any
                size is valid.

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
