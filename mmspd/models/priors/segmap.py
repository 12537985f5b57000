"""SegmapSPL: a segmentation map as the prior, the image-level prior of the paper (Fig. 7)."""

import math
from typing import Any, Dict, List, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.models.layers.segmentation_maps import check_form, one_hot
from mmspd.models.priors.base import PriorBranch
from mmspd.registry import MODELS

__all__ = ['SegmapSPL']

CONV_EXTRACTOR = dict(type='mmspd.ConvExtractor')


@MODELS.register_module()
class SegmapSPL(PriorBranch):
    """The image-level prior (section 3.1.1): a segmentation network for blurry images.

    A 1x1 convolution computes class scores from each level of the extractor. The scores are
    enlarged to the finest level and added up to a segmentation map. The prior contains this map at
    the stride of every level, as log-probabilities. At a coarser level, each pixel is the mean
    probability of the pixels that it covers. The guidance, the input of the embedding layer,
    contains probabilities or the most likely class.

    Args:
        num_classes: Number of classes of the teacher.
        extractor: Config of F_S, ``mmspd.ConvExtractor`` or ``mmspd.BackboneExtractor``.
        form: Form of the guidance, ``'probability'`` or ``'onehot'``. A one-hot map has no
            gradient, so ``'onehot'`` uses the gradient of the probabilities (straight-through).

    Attributes:
        channels: ``num_classes``, once per level.
        strides: Strides of the levels with respect to the image.
        multiple: The height and width of the image must be multiples of this size.
        classes: ``num_classes``.

    Raises:
        UserError: ``form`` is unknown, or a stride is not a multiple of the finest stride.

    Examples:
        >>> import torch
        >>> from mmspd.models.priors import SegmapSPL
        >>> prior = SegmapSPL(num_classes=5)(torch.rand(1, 3, 32, 32))
        >>> [tuple(level.shape) for level in prior]
        [(1, 5, 16, 16), (1, 5, 8, 8), (1, 5, 4, 4)]
        >>> torch.allclose(prior[0].exp().sum(1), torch.ones(1, 16, 16))
        True
    """

    def __init__(
        self,
        num_classes: int,
        extractor: Dict[str, Any] = CONV_EXTRACTOR,
        form: str = 'probability',
    ) -> None:
        super().__init__(extractor)
        self.form = check_form(form)
        self.classes = num_classes
        self.channels = (num_classes,) * len(self.strides)
        if any(stride % self.strides[0] for stride in self.strides):
            raise UserError(
                f'The extractor of SegmapSPL has the strides {tuple(self.strides)}; set '
                f'prior.extractor.strides to multiples of the finest stride, {self.strides[0]}.'
            )
        self.factors = tuple(stride // self.strides[0] for stride in self.strides)
        self.classifiers = nn.ModuleList(
            nn.Conv2d(wide, num_classes, 1) for wide in self.extractor.channels
        )

    def forward(self, img: Tensor) -> List[Tensor]:
        """Segment a blurry image.

        Args:
            img: Blurry image ``(N, 3, H, W)``, RGB, [0, 1]; H and W are multiples of
                :attr:`multiple`.

        Returns:
            Log-probabilities of each level, ``(N, num_classes, H / stride_i, W / stride_i)``, fine
            to coarse.
        """
        finest, *others = [
            classify(feature) for classify, feature in zip(self.classifiers, self.extractor(img))
        ]
        for scores in others:
            finest = finest + F.interpolate(
                scores, size=finest.shape[-2:], mode='bilinear', align_corners=False
            )
        segmap = finest.log_softmax(dim=1)
        return [_mean_of_cells(segmap, factor) for factor in self.factors]

    def guidance(self, prior: Sequence[Tensor]) -> List[Tensor]:
        """Convert log-probabilities into the guidance for the embedding layer.

        Args:
            prior: The result of :meth:`forward`.

        Returns:
            Probabilities; with ``form='onehot'``, zeros and ones with the gradient of the
            probabilities.
        """
        soft = [level.exp() for level in prior]
        if self.form == 'probability':
            return soft
        return [one_hot(level.detach()) + (level - level.detach()) for level in soft]


def _mean_of_cells(log_map: Tensor, side: int) -> Tensor:
    """Return the logarithm of the mean probability of square cells.

    No probability underflows to zero, because the sum is computed from logarithms.
    """
    if side == 1:
        return log_map
    cells = F.pixel_unshuffle(log_map, side).unflatten(1, (log_map.shape[1], side**2))
    return cells.logsumexp(dim=2) - 2 * math.log(side)
