"""SegmapSPL: a segmentation map as the prior, the image-level rival of the features (Fig. 7)."""

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
    """Image-level prior (section 3.1.1): a segmentor trained on blurry images.

    Each level of the extractor is classified by a 1x1 convolution; the sum of the scores at the
    finest level is the map. The prior is that one map at the stride of every level, as
    log-probabilities: a coarser pixel holds the mean probability of those it covers. The
    restorer is shown probabilities or the most likely class.

    Args:
        num_classes: classes of the teacher.
        extractor: config of F_S, ``mmspd.ConvExtractor`` or ``mmspd.BackboneExtractor``.
        form: ``'probability'`` or ``'onehot'``. The most likely class has no gradient, so that of
            the probabilities takes its place (straight-through).

    Attributes:
        channels: ``num_classes``, once per level.
        strides: strides of the levels on the image.
        multiple: the sides of the image must be multiples of it.
        classes: ``num_classes``.

    Raises:
        UserError: unknown ``form``, or a stride that is no multiple of the finest.
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
                f'SegmapSPL needs strides that are multiples of the finest, but its extractor has '
                f'{tuple(self.strides)}; change prior.extractor.'
            )
        self.factors = tuple(stride // self.strides[0] for stride in self.strides)
        self.classifiers = nn.ModuleList(
            nn.Conv2d(wide, num_classes, 1) for wide in self.extractor.channels
        )

    def forward(self, img: Tensor) -> List[Tensor]:
        """Segment a blurry image.

        Args:
            img: ``(N, 3, H, W)``, RGB, [0, 1], sides multiples of :attr:`multiple`.

        Returns:
            Log-probabilities ``(N, num_classes, H / stride_i, W / stride_i)``, fine to coarse.
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
        """Turn log-probabilities into what the restorer is shown.

        Args:
            prior: what :meth:`forward` returned.

        Returns:
            Probabilities, or zeros and ones with the gradient of the probabilities.
        """
        soft = [level.exp() for level in prior]
        if self.form == 'probability':
            return soft
        return [one_hot(level.detach()) + (level - level.detach()) for level in soft]


def _mean_of_cells(log_map: Tensor, side: int) -> Tensor:
    """Logarithm of the mean probability over square cells; no probability underflows to zero."""
    if side == 1:
        return log_map
    cells = F.pixel_unshuffle(log_map, side).unflatten(1, (log_map.shape[1], side**2))
    return cells.logsumexp(dim=2) - 2 * math.log(side)
