"""What every restorer of mmspd has in common: sizes, outputs, seams and recomputation."""

from typing import Any, List, Tuple, Union

from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.models.layers.activation_checkpointing import checkpointed
from mmspd.models.layers.padding import crop_to, pad_to_multiple
from mmspd.models.seams import FuseFn, no_fuse

__all__ = ['Restorer', 'check_outputs']


def check_outputs(outputs: str) -> str:
    """Return ``outputs`` if it is a known choice.

    Raises:
        UserError: it is neither ``'all'`` nor ``'last'``.
    """
    if outputs not in ('all', 'last'):
        raise UserError(f"outputs={outputs!r} is unknown; use 'all' (a list) or 'last' (a tensor).")
    return outputs


class Restorer(nn.Module):
    """Base class: an image of any size in, its restorations out.

    A subclass states :attr:`multiple` and :attr:`seams` and writes :meth:`forward_padded`.

    Args:
        outputs: ``'all'`` returns every output as a list, the full-resolution result last;
            ``'last'`` only that tensor, as the generators of MMagic do.
        with_cp: recompute the blocks' activations in the backward pass to save memory.

    Attributes:
        multiple: both sides of what :meth:`forward_padded` gets are divisible by it.
        seams: names of the seams, coarse to fine.
        seam_groups: for a restorer of several U-Nets, the names of each: every U-Net takes all
            levels of the prior. Empty where there is one U-Net.
    """

    multiple: int
    seams: Tuple[str, ...]
    seam_groups: Tuple[Tuple[str, ...], ...] = ()

    def __init__(self, outputs: str = 'all', with_cp: bool = False) -> None:
        super().__init__()
        self.outputs = check_outputs(outputs)
        self.with_cp = with_cp

    def forward(self, img: Tensor, fuse: FuseFn = no_fuse) -> Union[Tensor, List[Tensor]]:
        """Restore an image.

        Args:
            img: blurry image ``(N, 3, H, W)``, RGB, [0, 1], any H and W.
            fuse: called at every seam; see :class:`~mmspd.models.seams.FuseFn`.

        Returns:
            List of images, coarse to fine or first stage to last; the last one is
            ``(N, 3, H, W)``. Only that one with ``outputs='last'``.
        """
        height, width = img.shape[-2:]
        padded = pad_to_multiple(img, self.multiple)
        results = self.forward_padded(padded, fuse)
        if self.outputs == 'last':
            return crop_to(results[-1], height, width)
        return [
            crop_to(result, height, width, padded.shape[-1] // result.shape[-1])
            for result in results
        ]

    def forward_padded(self, img: Tensor, fuse: FuseFn) -> List[Tensor]:
        """Restore an image whose sides are multiples of :attr:`multiple`."""
        raise NotImplementedError

    def checkpointed(self, block: nn.Module, *inputs: Any) -> Any:
        """Run a block, with recomputation in the backward pass where ``with_cp`` asks for it."""
        return checkpointed(self.with_cp, block, *inputs)
