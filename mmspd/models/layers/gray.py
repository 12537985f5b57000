"""Conversion of RGB images to gray images."""

from torch import Tensor

__all__ = ['rgb_to_gray']

WEIGHTS = (0.2989, 0.5870, 0.1140)  # of TensorFlow


def rgb_to_gray(img: Tensor) -> Tensor:
    """Convert RGB images to gray images with the weights of TensorFlow.

    Args:
        img: ``(N, 3, H, W)``, RGB, any range.

    Returns:
        ``(N, 1, H, W)``.

    Examples:
        >>> import torch
        >>> from mmspd.models.layers.gray import rgb_to_gray
        >>> rgb_to_gray(torch.tensor([0.5, 0.25, 1.0]).view(1, 3, 1, 1)).item()
        0.410199...
    """
    red, green, blue = img.split(1, dim=1)
    return red * WEIGHTS[0] + green * WEIGHTS[1] + blue * WEIGHTS[2]
