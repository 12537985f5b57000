"""Convert the pixels of photos to the input of a network, and the output to pixels."""

from typing import Union

import numpy as np
import torch
from torch import Tensor

__all__ = ['as_rgb', 'like_pixels', 'to_tensor']


def as_rgb(pixels: np.ndarray) -> np.ndarray:
    """Repeat the gray channel three times, and drop the alpha channel.

    Args:
        pixels: Pixels ``(H, W, C)`` as in :class:`~mmspd.datasets.photo_io.photo.Photo`.

    Returns:
        A new array ``(H, W, 3)`` of the same dtype.
    """
    color = pixels[..., :3] if pixels.shape[2] > 2 else pixels[..., :1]
    return np.array(np.broadcast_to(color, (*color.shape[:2], 3)), order='C')


def to_tensor(pixels: np.ndarray, device: Union[str, torch.device] = 'cpu') -> Tensor:
    """Convert the pixels of a photo to the input of a network.

    Args:
        pixels: Pixels ``(H, W, C)`` as in :class:`Photo`, uint8 or uint16.
        device: The pixels are copied to this device and converted there.

    Returns:
        ``(1, 3, H, W)``, RGB, [0, 1], float32. Gray becomes three equal channels. The alpha channel
        is dropped.

    Examples:
        >>> import numpy as np
        >>> from mmspd.datasets.photo_io import to_tensor
        >>> gray = np.full((20, 30, 1), 51, np.uint8)
        >>> image = to_tensor(gray)
        >>> image.shape, round(image.max().item(), 3)
        (torch.Size([1, 3, 20, 30]), 0.2)
    """
    color = pixels[..., :3] if pixels.shape[2] > 2 else pixels[..., :1]
    # A copy, because Pillow's pixels are read-only. int32, because old PyTorch lacks uint16.
    stored = np.array(color, np.uint8 if pixels.dtype == np.uint8 else np.int32, order='C')
    planes = torch.from_numpy(stored).to(device).permute(2, 0, 1)
    planes = planes.to(torch.float32, memory_format=torch.contiguous_format)
    return planes.div_(np.iinfo(pixels.dtype).max).expand(3, -1, -1)[None].contiguous()


def like_pixels(restored: Tensor, pixels: np.ndarray) -> np.ndarray:
    """Convert the output of a network to pixels of the same kind as the input.

    Args:
        restored: Output ``(1, 3, H, W)``, RGB, about [0, 1], on any device. It is overwritten to
            save memory.
        pixels: Pixels of the input, ``(H, W, C)``.

    Returns:
        Pixels of the same shape and dtype as ``pixels``, clamped and rounded. Gray is the mean of
        the three channels. The alpha channel is that of the input.
    """
    gray = pixels.shape[2] < 3
    planes = restored[0].mean(0, keepdim=True) if gray else restored[0]
    planes = planes.clamp_(0, 1).mul_(np.iinfo(pixels.dtype).max).round_()
    # convert before the copy to the CPU, because uint8 has fewer bytes than float32
    whole = planes.to(torch.uint8 if pixels.dtype == np.uint8 else torch.int32)
    output = pixels.copy()
    output[..., : len(planes)] = whole.permute(1, 2, 0).contiguous().cpu().numpy()
    return output
