"""DeblurGAN-v2 (Kupyn et al., ICCV 2019); its backbones come from MMagic."""

from functools import partial
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.models.layers.image_statistics import (
    ImageInstanceNorm2d,
    InstanceNorm2d,
    use_image_statistics,
)
from mmspd.models.layers.padding import round_up
from mmspd.models.restorers.base import Restorer
from mmspd.models.seams import FuseFn, no_fuse
from mmspd.registry import MODELS
from mmspd.weights.loading import load_renamed
from mmspd.weights.published import Family, Published, register_family

__all__ = ['DeblurGANv2']

STRIDES = {'td2': 8, 'td3': 4, 'smooth2': 2}
GRAY = 0.5
ALL_SIDES = (1, 1, 1, 1)


def _inception() -> Tuple[nn.Module, List[List[nn.Module]]]:
    # imported here, because few configs need it
    from mmagic.models.editors.deblurganv2.deblurganv2_util import InceptionResNetV2

    net = InceptionResNetV2(num_classes=1000)
    levels = [
        [net.conv2d_1a],
        [net.conv2d_2a, net.conv2d_2b, net.maxpool_3a],
        [net.conv2d_3b, net.conv2d_4a, net.maxpool_5a],
        [net.mixed_5b, net.repeat, net.mixed_6a],
        [net.repeat_1, net.mixed_7a],
    ]
    return net, levels


def _mobilenet() -> Tuple[nn.Module, List[List[nn.Module]]]:
    from mmagic.models.editors.deblurganv2.deblurganv2_util import MobileNetV2

    features = MobileNetV2(n_class=1000).features
    ends = (0, 2, 4, 7, 11, 16)
    return features, [list(features[start:end]) for start, end in zip(ends, ends[1:])]


class Backbone(NamedTuple):
    """The facts about a backbone.

    Attributes:
        name: Name of the backbone in the state dict of the pyramid.
        build: Function that returns the backbone and the modules of its five levels, fine to
            coarse.
        channels: Channels of the levels.
        pads: Reflection padding (left, right, top, bottom) of each lateral feature. Inception has
            convolutions without padding, so that its features lack some rows and columns.
        smallest: Smallest side, in pixels, of an image that the network can process.
        num_filters: Official channels of the heads.
        weights: Published file with ImageNet weights.
        prefix: Prefix of the names in this file.
    """

    name: str
    build: Callable[[], Tuple[nn.Module, List[List[nn.Module]]]]
    channels: Tuple[int, ...]
    pads: Sequence[Optional[Tuple[int, ...]]]
    smallest: int
    num_filters: int
    weights: str
    prefix: str


BACKBONES = {
    'InceptionResNetV2': Backbone(
        'inception',
        _inception,
        (32, 64, 192, 1088, 2080),
        ((0, 1, 0, 1), ALL_SIDES, (1, 2, 1, 2), ALL_SIDES, ALL_SIDES),
        128,
        128,
        'inceptionresnetv2-520b38e4.pth',
        '',
    ),
    'MobileNetV2': Backbone(
        'features',
        _mobilenet,
        (16, 24, 32, 64, 160),
        (None,) * 5,
        64,
        64,
        'mobilenet_v2.pth.tar',
        'features.',
    ),
}


def _enlarge(x: Tensor, factor: int = 2) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode='nearest')


def _block(in_channels: int, channels: int, norm: Callable[[int], nn.Module]) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, channels, 3, padding=1)
    return nn.Sequential(conv, norm(channels), nn.ReLU(inplace=True))


class FeaturePyramid(nn.Module):
    """The feature pyramid network on a backbone.

    Args:
        backbone: The backbone.
        channels: Channels of the pyramid.
        norm: Function that makes a normalization layer.
    """

    def __init__(self, backbone: Backbone, channels: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.pads = backbone.pads
        net, levels = backbone.build()
        self.add_module(backbone.name, net)
        for number, modules in enumerate(levels):
            level = modules[0] if len(modules) == 1 else nn.Sequential(*modules)
            self.add_module(f'enc{number}', level)
        for number in (1, 2, 3):
            self.add_module(f'td{number}', _block(channels, channels, norm))
        for number in (4, 3, 2, 1, 0):
            width = channels if number else channels // 2
            lateral = nn.Conv2d(backbone.channels[number], width, 1, bias=False)
            self.add_module(f'lateral{number}', lateral)

    def forward(self, x: Tensor, fuse: FuseFn, run: Callable[..., Any]) -> List[Tensor]:
        """Compute the levels of the pyramid.

        Args:
            x: ``(N, 3, H, W)``, [-1, 1].
            fuse: Function that is called at the seams ``td2`` and ``td3``.
            run: Function that runs a module on its input, perhaps with recomputed activations.

        Returns:
            Five features at the strides 2, 4, 8, 16 and 32.
        """
        maps: List[Tensor] = []
        for number, pad in enumerate(self.pads):
            x = run(getattr(self, f'enc{number}'), x)
            lateral = getattr(self, f'lateral{number}')(x)
            maps.append(lateral if pad is None else F.pad(lateral, pad, 'reflect'))
        for number in (1, 2, 3):
            total = maps[4 - number] + _enlarge(maps[5 - number])
            if number > 1:
                total = fuse(f'td{number}', total)
            maps[4 - number] = run(getattr(self, f'td{number}'), total)
        return maps


class Head(nn.Module):
    """Two convolutions, each with a ReLU, on one level of the pyramid.

    Args:
        in_channels: Channels of the level.
        channels: Channels of the result.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.block0 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.block1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, channels, H, W)``."""
        return self.block1(self.block0(x).relu()).relu()


@MODELS.register_module()
class DeblurGANv2(Restorer):
    """The generator of DeblurGAN-v2 with the state-dict names and numerics of the official code.

    A feature pyramid network on a classification backbone computes a correction, which is added to
    the blurry image. The backbones are MMagic's. The output is clamped to [0, 1].

    **Statistics.** The official code tests in training mode. So each normalization layer, also the
    batch normalizations of the backbone, uses the statistics of the tested image instead of its
    running statistics. ``stats='image'`` does the same in evaluation mode, for each image of a
    batch alone, and does not change the running statistics. All pixels affect these statistics, so
    tiles, padding and self-ensemble change the result. Test whole images to compare with published
    results. In training mode, batch normalizations use the statistics of the batch.

    **Padding.** In evaluation mode, the image is padded with gray at the right and bottom to
    ``32 * (side // 32 + 1)`` pixels, as in the official predictor: a side that is a multiple of 32
    grows by 32 pixels. In training mode, a crop whose sides are multiples of 32 is not padded. An
    image that is too small for the backbone is padded to 64 pixels (MobileNet) or 128 pixels
    (Inception); the official code rejects it. A prior modulates only the part of a feature that
    shows the image, not the gray part.

    The seams are the sums of the top-down path: ``td2`` (stride 8), ``td3`` (stride 4) and
    ``smooth2`` (stride 2).

    The last layers of the backbones are not used. They exist because official weights contain them,
    and they are never trained.

    Args:
        backbone: ``'InceptionResNetV2'`` (60.9 M parameters) or ``'MobileNetV2'`` (3.3 M).
        stats: Statistics in evaluation mode: ``'image'`` as in the official code, or ``'running'``
            for PyTorch's running statistics.
        num_filters: Channels of the heads, and half of the channels of the pyramid; the default is
            the official number, 128 or 64.
        weights: ImageNet weights of the backbone, from which training starts:
            ``inceptionresnetv2-520b38e4.pth`` of the package ``pretrainedmodels``,
            ``mobilenet_v2.pth.tar`` of ``tonylins/pytorch-mobilenet-v2``, or ``'random'``. The file
            is not read for testing, and it is never downloaded.
        outputs: ``'all'`` returns a list of one image, ``'last'`` the image.
        with_cp: Recompute the activations in the backward pass to save memory. Normalizations then
            update their running statistics twice per step.

    Raises:
        UserError: ``backbone``, ``stats`` or ``outputs`` is unknown.

    Examples:
        >>> import torch
        >>> from mmspd.models.restorers import DeblurGANv2
        >>> network = DeblurGANv2('MobileNetV2', num_filters=8).eval()
        >>> network(torch.rand(1, 3, 50, 70))[0].shape
        torch.Size([1, 3, 50, 70])
    """

    multiple = 32
    seams = tuple(STRIDES)
    sees_padding = True

    def __init__(
        self,
        backbone: str = 'InceptionResNetV2',
        stats: str = 'image',
        num_filters: Optional[int] = None,
        weights: str = 'random',
        outputs: str = 'all',
        with_cp: bool = False,
    ) -> None:
        super().__init__(outputs, with_cp)
        if backbone not in BACKBONES:
            raise UserError(
                f'DeblurGANv2 has no backbone={backbone!r}; use one of {", ".join(BACKBONES)}.'
            )
        if stats not in ('image', 'running'):
            raise UserError(f"DeblurGANv2 has no stats={stats!r}; use 'image' or 'running'.")
        self.backbone = backbone
        self.weights = weights
        facts = BACKBONES[backbone]
        self.smallest = facts.smallest
        filters = num_filters or facts.num_filters
        layer = ImageInstanceNorm2d if stats == 'image' else InstanceNorm2d
        norm = partial(layer, track_running_stats=True)
        self.fpn: Any = FeaturePyramid(facts, 2 * filters, norm)
        if stats == 'image':
            use_image_statistics(self.fpn)
        for number in (1, 2, 3, 4):
            self.add_module(f'head{number}', Head(2 * filters, filters))
        self.smooth = _block(4 * filters, filters, norm)
        self.smooth2 = _block(filters, filters // 2, norm)
        self.final = nn.Conv2d(filters // 2, 3, 3, padding=1)
        getattr(self.fpn, facts.name).requires_grad_(False)
        self.freeze_backbone(False)

    def freeze_backbone(self, frozen: bool) -> None:
        """Stop or resume the training of the backbone.

        Args:
            frozen: Whether the weights of the backbone stay as they are. Its unused layers are
                always frozen.
        """
        for number in range(5):
            getattr(self.fpn, f'enc{number}').requires_grad_(not frozen)

    def init_weights(self) -> None:
        """Load the ImageNet weights of the backbone.

        Raises:
            UserError: The weights are missing or do not fit.
        """
        if self.weights == 'random':
            return
        facts = BACKBONES[self.backbone]
        # the classifier of the file has another number of classes, and is not used
        net = getattr(self.fpn, facts.name)
        used = nn.ModuleDict({k: v for k, v in net.named_children() if k != 'last_linear'})
        names = {
            # old files lack the numbers of batches, which have no effect
            key: facts.prefix + key
            for key in used.state_dict()
            if not key.endswith('num_batches_tracked')
        }
        load_renamed(used, names, self.weights, facts.weights, 'model.generator.weights')

    def pad(self, img: Tensor) -> Tensor:
        """Pad an image with gray at the right and bottom.

        Args:
            img: ``(N, 3, H, W)``, [0, 1].

        Returns:
            The padded image. Its sides are multiples of 32, larger than H and W in evaluation mode.
        """
        rows, columns = (self._padded(side) - side for side in img.shape[-2:])
        return F.pad(img, (0, columns, 0, rows), value=GRAY)

    def _padded(self, side: int) -> int:
        # sym_max keeps the size variable in an exported graph
        larger = torch.sym_max if isinstance(side, torch.SymInt) else max
        return larger(round_up(side if self.training else side + 1, self.multiple), self.smallest)

    def forward(self, img: Tensor, fuse: FuseFn = no_fuse) -> Union[Tensor, List[Tensor]]:
        """Restore an image.

        Args:
            img: Blurry image ``(N, 3, H, W)``, RGB, [0, 1], any H and W.
            fuse: Function that is called at every seam.

        Returns:
            A list with the restored image, ``(N, 3, H, W)``, [0, 1]. With ``outputs='last'``, the
            image.
        """
        if fuse is not no_fuse:
            height, width = (round_up(side, self.multiple) for side in img.shape[-2:])
            fuse = _fuse_image(fuse, height, width)
        return super().forward(img, fuse)

    def forward_padded(self, img: Tensor, fuse: FuseFn) -> List[Tensor]:
        """Restore an image.

        Args:
            img: Padded blurry image ``(N, 3, H, W)``; H and W are multiples of 32.
            fuse: Function that is called at every seam.

        Returns:
            A list with the restored image.
        """
        x = (img - 0.5) / 0.5
        maps = self.fpn(x, fuse, self.checkpointed)
        heads = []
        for number in (4, 3, 2, 1):
            head = self.checkpointed(getattr(self, f'head{number}'), maps[number])
            heads.append(_enlarge(head, 2 ** (number - 1)))
        smooth = self.checkpointed(self.smooth, torch.cat(heads, dim=1))
        smooth = self.checkpointed(self.smooth2, fuse('smooth2', _enlarge(smooth) + maps[0]))
        restored = torch.tanh(self.final(_enlarge(smooth))) + x
        return [(restored.clamp(-1, 1) + 1) / 2]


def _fuse_image(fuse: FuseFn, height: int, width: int) -> FuseFn:
    """Return a ``fuse`` that modulates only the part of a feature that shows the image.

    Args:
        fuse: The function for a feature without a gray border.
        height: Height of the image, rounded up to a multiple of 32.
        width: Width of the image, rounded up to a multiple of 32.
    """

    def fuse_part(seam: str, dec: Tensor) -> Tensor:
        rows, columns = height // STRIDES[seam], width // STRIDES[seam]
        fused = dec.clone()
        fused[..., :rows, :columns] = fuse(seam, dec[..., :rows, :columns])
        return fused

    return fuse_part


def _arguments(state: Dict[str, Tensor]) -> Dict[str, Any]:
    """Read the arguments of the constructor from a state dict."""
    inception = 'fpn.inception.conv2d_1a.conv.weight' in state
    return dict(
        backbone='InceptionResNetV2' if inception else 'MobileNetV2',
        num_filters=state['head1.block0.weight'].shape[0],
    )


def _published(title: str, backbone: str) -> Published:
    facts = BACKBONES[backbone]
    sizes = dict(backbone=backbone, num_filters=facts.num_filters)
    return Published('deblurganv2', f'DeblurGAN-v2 ({title})', sizes)


register_family(
    Family(
        'mmspd.DeblurGANv2',
        'DeblurGAN-v2',
        marks=('fpn.lateral4.weight', 'head1.block0.weight', 'smooth2.0.weight'),
        sizes=_arguments,
        published=(
            _published('Inception', 'InceptionResNetV2'),
            _published('MobileNet', 'MobileNetV2'),
        ),
    )
)
