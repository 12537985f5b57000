"""SegmapTeacher: a frozen segmentation network, which sees the sharp image."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch.nn.functional as F
from torch import Tensor

from mmspd.errors import UserError
from mmspd.models.layers.segmentation_maps import check_form, one_hot
from mmspd.models.teachers.base import Teacher
from mmspd.registry import MODELS

__all__ = ['SegmapTeacher']


@MODELS.register_module()
class SegmapTeacher(Teacher):
    """Frozen segmentor that turns the sharp image into a segmentation map (section 3.1.1).

    The map of the whole image is brought to the strides of the prior: each cell holds the mean
    probability of its pixels' classes, or the class for which that mean is the largest.

    Args:
        segmentor: config of any mmseg segmentor (its types are looked up in mmseg's scope), or of
            a network that returns logits ``(N, classes, H, W)``, such as ``mmspd.ESPNetv2``.
        channels: the number of classes, once per level; stated, because the distillation loss is
            made before the teacher is.
        weights: as in :class:`~mmspd.models.teachers.FeatureTeacher`; the checkpoint of
            the segmentor, loaded strictly.
        strides: strides of the prior on the image, fine to coarse.
        mean: RGB mean in 0..255, as in the segmentor's data preprocessor.
        std: RGB standard deviation in 0..255.
        scale: how many times the sharp image is enlarged before the segmentor sees it.
        form: ``'probability'`` or ``'onehot'``.
        dtype: precision of the segmentor, as in :class:`~mmspd.models.teachers.FeatureTeacher`.

    Attributes:
        channels: channels of the levels.
        strides: strides of the levels on the image before ``scale``.

    Raises:
        UserError: the weights cannot be had or do not fit, or ``channels`` is not what the
            segmentor returns.
    """

    def __init__(
        self,
        segmentor: Dict[str, Any],
        channels: Sequence[int],
        weights: str,
        strides: Sequence[int] = (2, 4, 8),
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (255.0, 255.0, 255.0),
        scale: int = 1,
        form: str = 'probability',
        dtype: Optional[str] = None,
    ) -> None:
        super().__init__(_in_scope(segmentor), weights, mean, std, scale)
        self.form = check_form(form)
        self.cells = tuple(stride * scale for stride in strides)
        self.load_and_freeze(channels, dtype)
        if min(self.channels) < 2:
            raise UserError(
                'The teacher has one output channel, which is no distribution over classes; let '
                'teacher.segmentor.decode_head have out_channels=2 or more.'
            )

    def forward(self, img: Tensor) -> Tuple[Tensor, ...]:
        """Segment a sharp image.

        Args:
            img: ``(N, 3, H, W)``, RGB, [0, 1], sides multiples of the largest stride.

        Returns:
            One map ``(N, classes, H / s_i, W / s_i)`` per level, fine to coarse, float32; over the
            classes it sums to 1.
        """
        with self.precision(img.device):
            probability = self._logits(self.prepare(img)).float().softmax(dim=1)
        levels = [F.avg_pool2d(probability, cell) for cell in self.cells]
        return tuple(one_hot(level) if self.form == 'onehot' else level for level in levels)

    def _logits(self, img: Tensor) -> Tensor:
        """Logits at the size of the image."""
        if not hasattr(self.backbone, 'encode_decode'):
            return self.backbone(img)
        size = tuple(img.shape[-2:])
        meta = dict(img_shape=size, pad_shape=size, ori_shape=size)
        metas: List[Dict[str, Any]] = [meta] * img.shape[0]
        return self.backbone.encode_decode(img, metas)


def _in_scope(segmentor: Dict[str, Any]) -> Dict[str, Any]:
    """Let the parts of an mmseg segmentor be found without their prefix."""
    if segmentor.get('data_preprocessor'):
        raise UserError(
            'teacher.segmentor.data_preprocessor is not used; state its mean and std as '
            'teacher.mean and teacher.std, and remove it.'
        )
    if segmentor.get('type', '').startswith('mmspd.'):
        return segmentor
    return {'_scope_': 'mmseg', **segmentor}
