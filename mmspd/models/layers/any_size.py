"""Let a network restore images of any size, although the network accepts only some sizes."""

import logging
from typing import Any, NamedTuple, Optional, Tuple, Union

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.models.layers.padding import crop_to, pad_to_multiple
from mmspd.models.layers.shape_inference import shapes_only

__all__ = ['SizeLimits', 'accept_any_size']

_POWERS = tuple(2**power for power in range(9))
#: Multiples to try, the powers of two first, because most networks halve the image.
_MULTIPLES = (*_POWERS, *(n for n in range(3, 65) if n not in _POWERS), 96, 112, 192)
_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 131, 137)
_LARGE = 128  # no network needs larger images than this

Size = Tuple[int, int]


class SizeLimits(NamedTuple):
    """The image sizes that a network accepts without padding.

    Attributes:
        multiple: Height and width must be multiples of this number.
        smallest: Height and width must be at least this number.
    """

    multiple: int = 1
    smallest: int = 1


def accept_any_size(network: nn.Module, required: bool = True) -> None:
    """Let a network restore images of any size.

    The sizes that the network accepts are found on the meta device, without computing any values.
    If the network does not accept all sizes, it gets two hooks. One hook pads each image at the
    right and bottom by reflection to the next size that the network accepts. The other hook removes
    the padding from the outputs. An image of a size that the network accepts is not changed.

    The limits are stored in the attribute ``size_limits``. A network that has this attribute is not
    examined again.

    Args:
        network: A network that maps ``(N, 3, H, W)`` to ``(N, 3, H, W)``, or to several images of
            which the last one is ``(N, 3, H, W)``.
        required: Whether to refuse a network that does not run on the meta device. If False, such a
            network is not changed, and a warning says so.

    Raises:
        UserError: The network changes the shape of the image, or refuses all sizes.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from mmspd.models.layers.any_size import accept_any_size
        >>> network = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 12, 1), nn.PixelShuffle(2))
        >>> accept_any_size(network)
        >>> network.size_limits
        SizeLimits(multiple=2, smallest=2)
        >>> network(torch.rand(1, 3, 7, 5)).shape
        torch.Size([1, 3, 7, 5])
    """
    if hasattr(network, 'size_limits'):
        return
    limits: Any = _find_limits(network, required)
    network.size_limits = limits
    if limits != SizeLimits():
        hooks = _Padding(limits)
        network.register_forward_pre_hook(hooks.pad)
        network.register_forward_hook(hooks.crop)


class _Padding:
    """The hooks that pad the image before a network and crop the outputs after the network."""

    def __init__(self, limits: SizeLimits) -> None:
        self.limits = limits
        self.size: Optional[Size] = None  # of the image, while the network restores it

    def pad(self, network: nn.Module, inputs: Tuple[Any, ...]) -> Optional[Tuple[Any, ...]]:
        img, *others = inputs
        padded = pad_to_multiple(img, **self.limits._asdict())
        self.size = None if padded is img else img.shape[-2:]
        return (padded, *others)

    def crop(self, network: nn.Module, inputs: Tuple[Any, ...], outputs: Any) -> Any:
        size, self.size = self.size, None
        return outputs if size is None else _crop(outputs, size, inputs[0].shape[-1])


def _crop(outputs: Any, size: Size, padded_width: int) -> Any:
    """Remove the padding from one output, or from each output of a sequence."""
    if isinstance(outputs, Tensor):
        return crop_to(outputs, *size, padded_width // outputs.shape[-1])
    return [_crop(output, size, padded_width) for output in outputs]


def _find_limits(network: nn.Module, required: bool) -> SizeLimits:
    """Find the image sizes that a network accepts."""
    for multiple in _MULTIPLES:
        size = _test_size(multiple)
        restored = _restored_shape(network, size)
        if restored == (1, 3, *size):
            return SizeLimits(multiple, _find_smallest(network, multiple))
        if isinstance(restored, tuple) and not _may_fit_with_padding(restored, size):
            raise UserError(_shape_changes(network, restored, size))
    size = (_LARGE, _LARGE)
    restored = _restored_shape(network, size)
    if isinstance(restored, tuple):
        raise UserError(_shape_changes(network, restored, size))
    reason = str(restored).strip().partition('\n')[0]
    fault = (
        f'{type(network).__name__} does not run on an image of {_LARGE}x{_LARGE} pixels without '
        f'values ({type(restored).__name__}{reason and f": {reason}"})'
    )
    if required:
        raise UserError(f'{fault}; choose a network that maps one image to one image.')
    print_log(f'{fault}; use images of sizes that it accepts.', 'current', logging.WARNING)
    return SizeLimits()


def _test_size(multiple: int) -> Size:
    """Return a large size of which this number, but no related number, divides both sides."""
    large = next(n for n, prime in enumerate(_PRIMES) if multiple * prime >= _LARGE)
    return multiple * _PRIMES[large], multiple * _PRIMES[large + 1]


def _find_smallest(network: nn.Module, multiple: int) -> int:
    """Find the smallest accepted side, a multiple of ``multiple``."""

    def accepts(count: int) -> bool:
        side = count * multiple
        return _restored_shape(network, (side, side)) == (1, 3, side, side)

    refused, accepted = 0, 1
    while accepted * multiple < _LARGE and not accepts(accepted):
        refused, accepted = accepted, 2 * accepted
    while accepted - refused > 1:
        middle = (refused + accepted) // 2
        if accepts(middle):
            accepted = middle
        else:
            refused = middle
    return accepted * multiple


def _restored_shape(network: nn.Module, size: Size) -> Union[Tuple[int, ...], Exception]:
    """Return the shape of the restored image, or the error if the network refuses the size."""
    try:
        with shapes_only(network):
            network.eval()  # in training, batch normalization refuses single pixels
            outputs = network(torch.empty(1, 3, *size, device='meta'))
        return tuple((outputs if isinstance(outputs, Tensor) else outputs[-1]).shape)
    except Exception as error:  # networks refuse sizes with many classes of errors
        return error


def _may_fit_with_padding(restored: Tuple[int, ...], size: Size) -> bool:
    """Return whether the output is an image of almost the same size."""
    return restored[:2] == (1, 3) and size[0] < 2 * restored[2] and restored[2] < 2 * size[0]


def _shape_changes(network: nn.Module, restored: Tuple[int, ...], size: Size) -> str:
    """Return the message for a network that changes the shape of the image."""
    return (
        f'{type(network).__name__} returns the shape {restored} for an image of shape '
        f'{(1, 3, *size)}, but a restorer must keep the shape; set its upscaling factor to 1, or '
        'choose another network.'
    )
