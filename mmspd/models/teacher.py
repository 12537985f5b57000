"""Teachers: the frozen high-level vision model F_P, which sees the sharp image."""

from contextlib import contextmanager
from typing import Any, Dict, Iterator, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.models.feature_net import FeatureNet
from mmspd.registry import MODELS

__all__ = ['FeatureTeacher', 'Teacher']


#: Precisions that a teacher can be told to compute in.
DTYPES = ('float32', 'bfloat16', 'float16')


class Teacher(FeatureNet):
    """Base class: a network that never changes once it is settled.

    Attributes:
        channels: channels of the levels.
        strides: strides of the levels on the image before ``scale``.
    """

    dtype: Optional[torch.dtype] = None

    def settle(self, channels: Sequence[int], dtype: Optional[str] = None) -> None:
        """Read the levels, load the weights and freeze; the last step of a constructor.

        Args:
            channels: channels of the levels, as the config states them.
            dtype: one of :data:`DTYPES`, whose half ones convolutions and linear layers keep
                their weights in; ``None`` computes as the surrounding autocast says.

        Raises:
            UserError: the weights cannot be had or do not fit, or ``channels`` or ``dtype`` is
                wrong.
        """
        if dtype not in (None, *DTYPES):
            raise UserError(f'teacher.dtype={dtype!r} is unknown; use one of {", ".join(DTYPES)}.')
        self.train(False)  # SyncBN in training mode would refuse the probe once DDP is set up
        self.channels, self.strides = self.spec()
        if self.channels != tuple(channels):
            raise UserError(
                f'teacher.channels={tuple(channels)} but its network returns {self.channels}; '
                'state those.'
            )
        self.load_weights()
        self.requires_grad_(False)
        if dtype is not None:
            self.dtype = getattr(torch, dtype)
            # what autocast computes in it, whose weights it would cast anew in every step
            for part in self.modules():
                if isinstance(part, (nn.Conv2d, nn.Linear)):
                    part.to(self.dtype)

    @contextmanager
    def precision(self, device: torch.device) -> Iterator[None]:
        """Compute as the teacher's ``dtype`` says, and without gradients, within a ``with``.

        Raises:
            UserError: the device does not compute in that precision.
        """
        with torch.no_grad():
            if self.dtype is None:
                yield
                return
            if self.dtype == torch.float16 and device.type == 'cpu':
                raise UserError("teacher.dtype='float16' needs an accelerator: use 'bfloat16'.")
            half = self.dtype != torch.float32
            with torch.autocast(device.type, self.dtype if half else None, enabled=half):
                yield

    def train(self, mode: bool = True) -> 'Teacher':
        """Stay in evaluation mode, whatever is asked."""
        super().train(False)
        return self


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
        self.settle(channels, dtype)

    def forward(self, img: Tensor) -> Tuple[Tensor, ...]:
        """Extract f_gt^1 ... f_gt^L.

        Args:
            img: sharp image ``(N, 3, H, W)``, RGB, [0, 1].

        Returns:
            One map ``(N, C_i, H / s_i, W / s_i)`` per level, fine to coarse, without gradient.
        """
        with self.precision(img.device):
            return super().forward(img)
