"""PSS-NSC (Gao et al., "Dynamic Scene Deblurring with Parameter Selective Sharing", CVPR 2019)."""

from collections import OrderedDict
from typing import Any, Dict, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmspd.models.layers.tf1 import SameConv2d
from mmspd.models.restorers.scale_recurrent import (
    SCALES,
    ScaleRecurrent,
    TwoConvs,
    truncated_normal_,
    up_conv,
    zero_biases,
)
from mmspd.models.seams import FuseFn
from mmspd.registry import MODELS
from mmspd.weights.published import Family, Published, count_modules, register_family

__all__ = ['PSSNSC']

KERNEL_SIZE = 3
# Ours: up to 0.03, the output of the untrained network stays close to its input.
INITIAL_STD = 0.02


def _block(channels: int, num_res: int) -> nn.Sequential:
    """Make a block of nested skips: residual blocks, each of which adds to the running sum."""
    return nn.Sequential(
        OrderedDict((f'd{part + 1}', TwoConvs(channels, KERNEL_SIZE)) for part in range(num_res))
    )


@MODELS.register_module()
class PSSNSC(ScaleRecurrent):
    """Network with selectively shared parameters, with the official names and numerics.

    The network restores each color plane on its own at 1/4, 1/2 and full resolution, and adds the
    blurry plane to each result. The convolutions that extract features, change the resolution and
    make the image have other weights at each scale (``_0``, ``_1``, ``_2``, coarse to fine). The
    other blocks are shared by the scales, and run twice in each scale. The official training uses
    gray images: set ``gray_training``. The training targets must be resized like the inputs:
    ``model.multi_scale_targets='tf1'``.

    A name such as ``enc1_2.d1.conv1.weight`` is ``g_net/enc1_2/d1/conv1/weights`` in the official
    TensorFlow checkpoints.

    The convolutions start from a truncated normal distribution, as in the published training
    graphs. The deviation 0.02 is ours. The official test code names Xavier's uniform distribution;
    with it, the untrained network would return values of 10^8 and more.

    The seams belong to the last scale: ``dec3`` (stride 4, the output of the encoder), and the skip
    sums ``dec2`` and ``dec1``.

    Args:
        base: Channels at the resolution of a scale; official 32.
        num_res: Residual blocks of each shared block; official 4.
        gray_training: In training mode, convert the images to gray and return gray images. The
            losses then compare them with the gray sharp images.
        outputs: ``'all'`` returns the images at 1/4, 1/2 and full resolution; ``'last'`` returns
            only the full-resolution image.
        with_cp: Recompute the blocks' activations in the backward pass to save memory.

    Raises:
        UserError: ``outputs`` is unknown.

    Examples:
        >>> import torch
        >>> from mmspd.models.restorers import PSSNSC
        >>> network = PSSNSC(base=4)
        >>> [tuple(image.shape) for image in network(torch.rand(1, 3, 32, 48))]
        [(1, 3, 8, 12), (1, 3, 16, 24), (1, 3, 32, 48)]
    """

    def __init__(
        self,
        base: int = 32,
        num_res: int = 4,
        gray_training: bool = False,
        outputs: str = 'all',
        with_cp: bool = False,
    ) -> None:
        super().__init__(gray_training, outputs, with_cp)
        fine, middle, coarse = base, 2 * base, 4 * base
        for scale in range(len(SCALES)):
            layers = dict(
                enc1_1=SameConv2d(2, fine, KERNEL_SIZE),
                enc2_1=SameConv2d(fine, middle, KERNEL_SIZE, stride=2),
                enc3_1=SameConv2d(middle, coarse, KERNEL_SIZE, stride=2),
                dec2_3=up_conv(coarse, middle),
                dec1_3=up_conv(middle, fine),
                dec1_0=SameConv2d(fine, 1, KERNEL_SIZE),
            )
            for name, layer in layers.items():
                self.add_module(f'{name}_{scale}', layer)
        for level, width in enumerate((fine, middle, coarse), start=1):
            self.add_module(f'enc{level}_2', _block(width, num_res))
            self.add_module(f'dec{level}_2', _block(width, num_res))
        for weight in zero_biases(self):
            truncated_normal_(weight, INITIAL_STD)

    def restore_scale(
        self, scale: int, blurry: Tensor, guess: Tensor, state: None, fuse: FuseFn
    ) -> Tuple[Tensor, None]:
        """Restore a plane at one scale.

        Args:
            scale: Number of the scale, 0 for the coarsest.
            blurry: Blurry plane at this scale, ``(N, 1, h, w)``.
            guess: Result of the previous scale at the size of this scale, ``(N, 1, h, w)``.
            state: Not used.
            fuse: Function that is called at every seam.

        Returns:
            The restored plane ``(N, 1, h, w)``, and ``None``.
        """

        def layer(name: str, x: Tensor) -> Tensor:
            return getattr(self, f'{name}_{scale}')(x)

        x = torch.cat([blurry, guess], dim=1)
        enc1 = self.run(('enc1_2',) * 2, F.relu(layer('enc1_1', x)))
        enc2 = self.run(('enc2_2',) * 2, F.relu(layer('enc2_1', enc1)))
        x = self.run(('enc3_2',) * 2, F.relu(layer('enc3_1', enc2)))  # (N, 4C, h/4, w/4)
        x = self.run(('dec3_2',) * 2, fuse('dec3', x))
        x = self.run(('dec2_2',) * 2, fuse('dec2', F.relu(layer('dec2_3', x)) + enc2))
        x = self.run(('dec1_2',) * 2, fuse('dec1', F.relu(layer('dec1_3', x)) + enc1))
        return layer('dec1_0', x) + blurry, None


def _arguments(state: Dict[str, Tensor]) -> Dict[str, Any]:
    """Read the arguments of the constructor from a state dict."""
    num_res = count_modules(state, r'enc1_2\.d(\d+)\.') - 1  # the numbers start at 1
    return dict(base=state['enc1_1_0.weight'].shape[0], num_res=num_res)


register_family(
    Family(
        'mmspd.PSSNSC',
        'PSS-NSC',
        marks=('enc1_1_0.weight', 'enc1_2.d1.conv1.weight', 'dec1_0_2.weight'),
        sizes=_arguments,
        published=(Published('pssnsc', 'PSS-NSC', dict(base=32, num_res=4)),),
    )
)
