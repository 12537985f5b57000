"""Base class of the teachers: a frozen network with its own compute dtype."""

from contextlib import contextmanager
from typing import Iterator, Optional, Sequence

import torch
from torch import nn

from mmspd.errors import UserError
from mmspd.models.layers.feature_net import FeatureNet
from mmspd.utils.precision import DTYPES

__all__ = ['Teacher']


class Teacher(FeatureNet):
    """Base class of the teachers. A teacher stays frozen and in evaluation mode.

    Attributes:
        channels: Channels of the levels, fine to coarse.
        strides: Strides of the levels, relative to the image before the enlargement by ``scale``.
        dtype: Compute dtype, or ``None`` for the dtype of the surrounding autocast.
    """

    dtype: Optional[torch.dtype] = None

    def load_and_freeze(self, channels: Sequence[int], dtype: Optional[str] = None) -> None:
        """Read the channels and strides, load the weights and freeze the network.

        Call this method at the end of the constructor.

        Args:
            channels: Channels of the levels, as stated in the config.
            dtype: Compute dtype, one of ``mmspd.utils.precision.DTYPES``. The weights of
                convolutions and linear layers are also stored in this dtype. ``None`` uses the
                dtype of the surrounding autocast.

        Raises:
            UserError: The weights cannot be read or downloaded, the weights do not fit the network,
                or ``channels`` or ``dtype`` is wrong.
        """
        if dtype not in (None, *DTYPES):
            raise UserError(f'teacher.dtype={dtype!r} is unknown; use one of {", ".join(DTYPES)}.')
        self.train(False)  # under DDP, SyncBN in training mode rejects the tensors of spec()
        self.channels, self.strides = self.spec()
        if self.channels != tuple(channels):
            raise UserError(
                f"teacher.channels is {tuple(channels)}, but the teacher's network returns "
                f'{self.channels} channels; set teacher.channels={self.channels}.'
            )
        self.load_weights()
        self.requires_grad_(False)
        if dtype is not None:
            self.dtype = getattr(torch, dtype)
            # convert these weights once, because autocast would convert them in every step
            for part in self.modules():
                if isinstance(part, (nn.Conv2d, nn.Linear)):
                    part.to(self.dtype)

    @contextmanager
    def precision(self, device: torch.device) -> Iterator[None]:
        """Compute in the ``dtype`` of the teacher and without gradients inside a ``with`` block.

        Args:
            device: The device of the computation.

        Raises:
            UserError: The device does not support the dtype.
        """
        with torch.no_grad():
            if self.dtype is None:
                yield
                return
            if self.dtype == torch.float16 and device.type == 'cpu':
                raise UserError("teacher.dtype='float16' needs an accelerator; use 'bfloat16'.")
            half = self.dtype != torch.float32
            with torch.autocast(device.type, self.dtype if half else None, enabled=half):
                yield

    def train(self, mode: bool = True) -> 'Teacher':
        """Stay in evaluation mode.

        Args:
            mode: Ignored.

        Returns:
            The teacher itself.
        """
        super().train(False)
        return self
