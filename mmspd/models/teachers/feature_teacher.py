"""FeatureTeacher: a frozen backbone, which sees the sharp image."""

from typing import Any, Dict, Optional, Sequence, Tuple

from torch import Tensor

from mmspd.models.teachers.base import Teacher
from mmspd.registry import MODELS

__all__ = ['FeatureTeacher']


@MODELS.register_module()
class FeatureTeacher(Teacher):
    """Frozen backbone that turns the sharp image into the features f_gt (section 3.1.1).

    Args:
        backbone: config of an mmpretrain, mmseg or (through ``mmpretrain.TIMMBackbone``) timm
            backbone that returns the feature levels, fine to coarse.
        channels: channels of those levels; stated, because the distillation heads are made
            before the teacher is.
        weights: file, URL or mmengine scheme (``torchvision://resnet50``); ``'timm'`` for the
            weights timm itself downloads; ``'random'``, which must be asked for. Loading is
            strict: a teacher with one missing tensor is refused.
        mean: RGB mean in 0..255, as in the project's data preprocessor.
        std: RGB standard deviation in 0..255.
        scale: how many times the sharp image is enlarged first; 2 turns features at strides
            4/8/16 into strides 2/4/8 of the crop.
        dtype: ``'float32'``, ``'bfloat16'`` or ``'float16'`` whatever the rest is trained in;
            ``None`` as the surrounding autocast. The distillation loss is float32 in any case.

    Attributes:
        channels: channels of the levels.
        strides: strides of the levels on the image before ``scale``.

    Raises:
        UserError: the weights cannot be had or do not fit, or ``channels`` is not what the
            backbone returns.
    """

    def __init__(
        self,
        backbone: Dict[str, Any],
        channels: Sequence[int],
        weights: str,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (255.0, 255.0, 255.0),
        scale: int = 2,
        dtype: Optional[str] = None,
    ) -> None:
        super().__init__(backbone, weights, mean, std, scale)
        self.eval().cut_unused()
        self.load_and_freeze(channels, dtype)

    def forward(self, img: Tensor) -> Tuple[Tensor, ...]:
        """Extract f_gt^1 ... f_gt^L.

        Args:
            img: sharp image ``(N, 3, H, W)``, RGB, [0, 1].

        Returns:
            One map ``(N, C_i, H / s_i, W / s_i)`` per level, fine to coarse, without gradient.
        """
        with self.precision(img.device):
            return super().forward(img)
