"""Base of the teachers: a frozen network with a precision of its own."""

from contextlib import contextmanager
from typing import Iterator, Optional, Sequence

import torch
from torch import nn

from mmspd.errors import UserError
from mmspd.models.layers.feature_net import FeatureNet
from mmspd.utils.precision import PRECISIONS

__all__ = ['Teacher']


class Teacher(FeatureNet):
    """Base class: a network that never changes once it is built.

    Attributes:
        channels: channels of the levels.
        strides: strides of the levels on the image before ``scale``.
    """

    dtype: Optional[torch.dtype] = None

    def load_and_freeze(self, channels: Sequence[int], dtype: Optional[str] = None) -> None:
        """Read the levels, load the weights and freeze; the last step of a constructor.

        Args:
            channels: channels of the levels, as the config states them.
            dtype: compute dtype, of :data:`~mmspd.utils.precision.PRECISIONS`; with a 16-bit
                dtype, convolution and linear weights are stored in it. ``None`` computes as the
                surrounding autocast says.

        Raises:
            UserError: the weights cannot be had or do not fit, or ``channels`` or ``dtype`` is
                wrong.
        """
        if dtype not in (None, *PRECISIONS):
            raise UserError(
                f'teacher.dtype={dtype!r} is unknown; use one of {", ".join(PRECISIONS)}.'
            )
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
