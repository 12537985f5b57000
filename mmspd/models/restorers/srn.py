"""SRN (Tao et al., "Scale-recurrent Network for Deep Image Deblurring", CVPR 2018)."""

from typing import Any, Dict, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.models.layers.tf1 import SameConv2d, resize_bilinear
from mmspd.models.restorers.scale_recurrent import (
    ScaleRecurrent,
    TwoConvs,
    truncated_normal_,
    up_conv,
    zero_biases,
)
from mmspd.models.seams import FuseFn
from mmspd.registry import MODELS
from mmspd.weights.published import Family, Published, count_modules, register_family

__all__ = ['SRN']

VARIANTS = ('lstm', 'gray', 'color')
LEVELS = (1, 2, 3)
KERNEL_SIZE = 5

State = Tuple[Tensor, Tensor]


class ConvLSTM(nn.Module):
    """Convolutional LSTM of SRN: TensorFlow's gate order i, j, f, o and its forget bias of 1.

    Args:
        channels: Channels of the features and of both parts of the state.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.LSTM_conv = SameConv2d(2 * channels, 4 * channels, 3)

    def forward(self, x: Tensor, state: Optional[State]) -> State:
        """Update the state.

        Args:
            x: Features ``(N, C, H, W)``.
            state: Cell and hidden state of the previous scale at any size, or ``None``.

        Returns:
            The new cell state and the new hidden state, each ``(N, C, H, W)``. The hidden state is
            the output.
        """
        if state is None:
            cell, hidden = torch.zeros_like(x), torch.zeros_like(x)
        else:
            cell, hidden = (resize_bilinear(part, *x.shape[-2:]) for part in state)
        i, j, f, o = self.LSTM_conv(torch.cat([x, hidden], dim=1)).chunk(4, dim=1)
        cell = cell * torch.sigmoid(f + 1) + torch.sigmoid(i) * torch.tanh(j)
        return cell, torch.tanh(cell) * torch.sigmoid(o)


@MODELS.register_module()
class SRN(ScaleRecurrent):
    """Scale-recurrent network with the names, numerics and initialization of the official code.

    The same encoder and decoder restore the image at 1/4, 1/2 and full resolution. The variants
    ``'lstm'`` (the paper's, 8.1 M parameters) and ``'gray'`` restore each color plane on its own.
    The official training uses gray images: set ``gray_training``. ``'color'`` restores the three
    planes together. The input is not added to the outputs. The training targets must be resized
    like the inputs: ``model.multi_scale_targets='tf1'``.

    A name such as ``enc1_2.conv1.weight`` is ``g_net/enc1_2/conv1/weights`` in the official
    TensorFlow checkpoints.

    The seams belong to the last scale: ``dec3`` (stride 4, the output of the LSTM or of the
    encoder), and the skip sums ``dec2`` and ``dec1``.

    Args:
        variant: ``'lstm'``, ``'gray'`` (without the LSTM) or ``'color'`` (without the LSTM).
        base: Channels at the resolution of a scale; official 32.
        num_res: Residual blocks of each level, in encoder and decoder; official 3.
        gray_training: In training mode, convert the images to gray and return gray images. The
            losses then compare them with the gray sharp images. Not for ``'color'``.
        outputs: ``'all'`` returns the images at 1/4, 1/2 and full resolution; ``'last'`` returns
            only the full-resolution image.
        with_cp: Recompute the blocks' activations in the backward pass to save memory.

    Raises:
        UserError: ``variant`` or ``outputs`` is unknown, or ``gray_training`` is set for
            ``'color'``.

    Examples:
        >>> import torch
        >>> from mmspd.models.restorers import SRN
        >>> network = SRN(base=4)
        >>> [tuple(image.shape) for image in network(torch.rand(1, 3, 32, 48))]
        [(1, 3, 8, 12), (1, 3, 16, 24), (1, 3, 32, 48)]
    """

    def __init__(
        self,
        variant: str = 'lstm',
        base: int = 32,
        num_res: int = 3,
        gray_training: bool = False,
        outputs: str = 'all',
        with_cp: bool = False,
    ) -> None:
        super().__init__(gray_training, outputs, with_cp)
        if variant not in VARIANTS:
            raise UserError(
                f'SRN has variant={variant!r}; use {", ".join(map(repr, VARIANTS[:2]))} or '
                f'{VARIANTS[2]!r}.'
            )
        self.per_plane = variant != 'color'
        if gray_training and not self.per_plane:
            raise UserError(
                "SRN has gray_training=True, but variant='color' needs color images; remove one of "
                'them.'
            )
        channels = 1 if self.per_plane else 3
        # official names, in the order of execution
        self.encoder = tuple(tuple(f'enc{n}_{i + 2}' for i in range(num_res)) for n in LEVELS)
        self.decoder = tuple(tuple(f'dec{n}_{num_res - i}' for i in range(num_res)) for n in LEVELS)
        fine, middle, coarse = base, 2 * base, 4 * base
        self.enc1_1 = SameConv2d(2 * channels, fine, KERNEL_SIZE)
        self.enc2_1 = SameConv2d(fine, middle, KERNEL_SIZE, stride=2)
        self.enc3_1 = SameConv2d(middle, coarse, KERNEL_SIZE, stride=2)
        self.convLSTM = ConvLSTM(coarse) if variant == 'lstm' else None
        self.dec2_4 = up_conv(coarse, middle)
        self.dec1_4 = up_conv(middle, fine)
        self.dec1_0 = SameConv2d(fine, channels, KERNEL_SIZE)
        for width, *names in zip((fine, middle, coarse), self.encoder, self.decoder):
            for name in sum(names, ()):
                self.add_module(name, TwoConvs(width, KERNEL_SIZE))
        for weight in zero_biases(self):
            nn.init.xavier_uniform_(weight)
        if self.convLSTM is not None:
            truncated_normal_(self.convLSTM.LSTM_conv.weight, std=1e-3)

    def restore_scale(
        self, scale: int, blurry: Tensor, guess: Tensor, state: Optional[State], fuse: FuseFn
    ) -> Tuple[Tensor, Optional[State]]:
        """Restore an image at one scale; all scales have the same weights.

        Args:
            scale: Not used.
            blurry: Blurry image at this scale, ``(N, C, h, w)``.
            guess: Result of the previous scale at the size of this scale, ``(N, C, h, w)``.
            state: Cell and hidden state of the LSTM after the previous scale, or ``None``.
            fuse: Function that is called at every seam.

        Returns:
            The restored image ``(N, C, h, w)``, and the state of the LSTM, or ``None`` without one.
        """
        enc1 = self.run(self.encoder[0], F.relu(self.enc1_1(torch.cat([blurry, guess], dim=1))))
        enc2 = self.run(self.encoder[1], F.relu(self.enc2_1(enc1)))
        x = self.run(self.encoder[2], F.relu(self.enc3_1(enc2)))  # (N, 4C, h/4, w/4)
        if self.convLSTM is not None:
            state = self.checkpointed(self.convLSTM, x, state)
            x = state[1]
        x = self.run(self.decoder[2], fuse('dec3', x))
        x = self.run(self.decoder[1], fuse('dec2', F.relu(self.dec2_4(x)) + enc2))
        x = self.run(self.decoder[0], fuse('dec1', F.relu(self.dec1_4(x)) + enc1))
        return self.dec1_0(x), state


def _arguments(state: Dict[str, Tensor]) -> Dict[str, Any]:
    """Read the arguments of the constructor from a state dict."""
    base, channels = state['enc1_1.weight'].shape[:2]
    plain = {2: 'gray', 6: 'color'}[channels]
    variant = 'lstm' if 'convLSTM.LSTM_conv.weight' in state else plain
    return dict(
        variant=variant, base=base, num_res=count_modules(state, r'dec1_(\d+)\.conv1\.') - 1
    )


register_family(
    Family(
        'mmspd.SRN',
        'SRN',
        marks=('enc1_1.weight', 'enc1_2.conv1.weight', 'dec1_0.weight'),
        sizes=_arguments,
        published=(
            Published('srn', 'SRN', dict(variant='lstm', base=32, num_res=3)),
            Published('srn', 'SRN (gray)', dict(variant='gray', base=32, num_res=3)),
            Published('srn', 'SRN (color)', dict(variant='color', base=32, num_res=3)),
        ),
    )
)
