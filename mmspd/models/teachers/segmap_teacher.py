"""SegmapTeacher: a frozen segmentation network that takes the sharp image."""

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

    The segmentation map is reduced to the strides of the prior. Each position of a reduced map
    covers a cell of pixels. With ``form='probability'``, the position contains the mean class
    probabilities of the cell. With ``form='onehot'``, the position contains 1 for the class with
    the largest mean probability and 0 for the other classes.

    Args:
        segmentor: Config of an mmseg segmentor, or of a network that returns logits
            ``(N, classes, H, W)``, such as ``mmspd.ESPNetv2``. The types of an mmseg segmentor need
            no prefix ``mmseg.``.
        channels: The number of classes, repeated for each level. The config states this number
            because the distillation loss is built before the teacher.
        weights: Checkpoint of the segmentor, loaded strictly. The same forms are valid as in
            :class:`~mmspd.models.teachers.feature_teacher.FeatureTeacher`.
        strides: Strides of the prior with respect to the image, fine to coarse.
        mean: RGB mean in 0..255, as in the data preprocessor of the segmentor.
        std: RGB standard deviation in 0..255.
        scale: Factor by which the sharp image is enlarged before the segmentor.
        form: ``'probability'`` or ``'onehot'``.
        dtype: Compute dtype of the segmentor, as in
            :class:`~mmspd.models.teachers.feature_teacher.FeatureTeacher`.

    Attributes:
        channels: Channels of the levels, fine to coarse.
        strides: Strides of the levels, relative to the image before the enlargement by ``scale``.

    Raises:
        UserError: The weights cannot be read or downloaded, the weights do not fit the segmentor,
            ``channels`` differs from the number of classes of the segmentor, or the segmentor has
            only one output channel.

    Examples:
        >>> import torch
        >>> from mmspd.registry import build_model
        >>> teacher = build_model(dict(
        ...     type='mmspd.SegmapTeacher',
        ...     segmentor=dict(type='mmspd.ESPNetv2', num_classes=5, width_multiplier=0.5),
        ...     channels=(5, 5, 5),
        ...     weights='random'))
        >>> [tuple(segmap.shape) for segmap in teacher(torch.zeros(1, 3, 32, 32))]
        [(1, 5, 16, 16), (1, 5, 8, 8), (1, 5, 4, 4)]
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
                'The teacher has one output channel, which is not a distribution over classes; set '
                'teacher.segmentor.decode_head.out_channels to 2 or more.'
            )

    def forward(self, img: Tensor) -> Tuple[Tensor, ...]:
        """Segment a sharp image.

        Args:
            img: ``(N, 3, H, W)``, RGB, [0, 1]. Both sides are multiples of the largest stride.

        Returns:
            One float32 map ``(N, classes, H / s_i, W / s_i)`` per level, fine to coarse. At each
            position, the values of all classes sum to 1.
        """
        with self.precision(img.device):
            probability = self._logits(self.prepare(img)).float().softmax(dim=1)
        levels = [F.avg_pool2d(probability, cell) for cell in self.cells]
        return tuple(one_hot(level) if self.form == 'onehot' else level for level in levels)

    def _logits(self, img: Tensor) -> Tensor:
        """Compute logits at the size of the image."""
        if not hasattr(self.backbone, 'encode_decode'):
            return self.backbone(img)
        size = tuple(img.shape[-2:])
        meta = dict(img_shape=size, pad_shape=size, ori_shape=size)
        metas: List[Dict[str, Any]] = [meta] * img.shape[0]
        return self.backbone.encode_decode(img, metas)


def _in_scope(segmentor: Dict[str, Any]) -> Dict[str, Any]:
    """Set the scope mmseg, so that the types of an mmseg segmentor need no prefix."""
    if segmentor.get('data_preprocessor'):
        raise UserError(
            'teacher.segmentor.data_preprocessor is not used; remove it and set its mean and std '
            'as teacher.mean and teacher.std.'
        )
    if segmentor.get('type', '').startswith('mmspd.'):
        return segmentor
    return {'_scope_': 'mmseg', **segmentor}
