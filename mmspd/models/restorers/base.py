"""The base class of the restorers: image sizes, outputs, seams and activation checkpointing."""

from typing import Any, List, Tuple, Union

from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.models.layers.activation_checkpointing import checkpointed
from mmspd.models.layers.any_size import SizeLimits
from mmspd.models.layers.padding import crop_to, pad_to_multiple
from mmspd.models.seams import FuseFn, no_fuse

__all__ = ['Restorer', 'check_outputs']


def check_outputs(outputs: str) -> str:
    """Return ``outputs`` if it is valid.

    Args:
        outputs: ``'all'`` or ``'last'``.

    Returns:
        The value of ``outputs``.

    Raises:
        UserError: ``outputs`` is neither ``'all'`` nor ``'last'``.
    """
    if outputs not in ('all', 'last'):
        raise UserError(f"outputs={outputs!r} is unknown; use 'all' (a list) or 'last' (a tensor).")
    return outputs


class Restorer(nn.Module):
    """Base class of a network that restores an image of any size.

    A subclass sets :attr:`multiple` and :attr:`seams` and implements :meth:`forward_padded`.

    Args:
        outputs: ``'all'`` returns every output as a list, the full-resolution result last.
            ``'last'`` returns only the last output as a tensor, as MMagic's generators do.
        with_cp: Recompute the blocks' activations in the backward pass to save memory.

    Attributes:
        multiple: The image is padded so that its height and width are multiples of this size.
        padding: Mode of the padding, see :func:`~mmspd.models.layers.padding.pad_to_multiple`.
        seams: Names of the seams, coarse to fine.
        size_limits: No limits, because the restorer pads the image itself.
        seam_groups: Names of the seams of each U-Net, for a restorer of several U-Nets; empty for a
            single U-Net. Every U-Net gets all levels of the prior.
        sees_padding: Whether padding changes the whole result, so that only the restorer itself may
            pad an image.

    Raises:
        UserError: ``outputs`` is unknown.
    """

    multiple: int
    padding = 'mirror'
    seams: Tuple[str, ...]
    size_limits = SizeLimits()
    seam_groups: Tuple[Tuple[str, ...], ...] = ()
    sees_padding = False

    def __init__(self, outputs: str = 'all', with_cp: bool = False) -> None:
        super().__init__()
        self.outputs = check_outputs(outputs)
        self.with_cp = with_cp

    def forward(self, img: Tensor, fuse: FuseFn = no_fuse) -> Union[Tensor, List[Tensor]]:
        """Restore an image.

        Args:
            img: Blurry image ``(N, 3, H, W)``, RGB, [0, 1], any H and W.
            fuse: Function that is called at every seam; see :class:`~mmspd.models.seams.FuseFn`.

        Returns:
            A list of images, coarse to fine or first stage to last; the last image is
            ``(N, 3, H, W)``. With ``outputs='last'``, only the last image, as a tensor.
        """
        height, width = img.shape[-2:]
        padded = self.pad(img)
        results = self.forward_padded(padded, fuse)
        if self.outputs == 'last':
            return crop_to(results[-1], height, width)
        return [
            crop_to(result, height, width, padded.shape[-1] // result.shape[-1])
            for result in results
        ]

    def pad(self, img: Tensor) -> Tensor:
        """Pad an image at the right and bottom until its sides are multiples of :attr:`multiple`.

        Args:
            img: ``(N, 3, H, W)``.

        Returns:
            The padded image. A subclass may pad in another way.
        """
        return pad_to_multiple(img, self.multiple, self.padding)

    def forward_padded(self, img: Tensor, fuse: FuseFn) -> List[Tensor]:
        """Restore an image with a height and width that are multiples of :attr:`multiple`.

        Args:
            img: Blurry image ``(N, 3, H, W)``, RGB, [0, 1].
            fuse: Function that is called at every seam.

        Returns:
            A list of images, the full-resolution result last.
        """
        raise NotImplementedError

    def checkpointed(self, block: nn.Module, *inputs: Any) -> Any:
        """Run a block; with ``with_cp``, its activations are recomputed in the backward pass.

        Args:
            block: The block.
            *inputs: Inputs of the block.

        Returns:
            The output of the block.
        """
        return checkpointed(self.with_cp, block, *inputs)
