"""Compose pictures from rows of images with captions."""

from typing import Optional, Sequence, Tuple

import cv2
import numpy as np
from torch import Tensor

__all__ = ['gain_window', 'picture_row', 'stack_rows', 'to_uint8']

CAPTION_HEIGHT = 22  # pixels


def to_uint8(img: Tensor) -> np.ndarray:
    """Convert an image tensor to an array for display.

    Args:
        img: Image ``(3, H, W)``, RGB, [0, 1]. Values outside [0, 1] are clamped.

    Returns:
        Image ``(H, W, 3)``, RGB, uint8, rounded.

    Examples:
        >>> import torch
        >>> from mmspd.visualization.pictures import to_uint8
        >>> to_uint8(torch.tensor([-0.2, 0.1, 1.3]).view(3, 1, 1))
        array([[[  0,  26, 255]]], dtype=uint8)
    """
    return (img.detach().float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()


def picture_row(images: Sequence[np.ndarray], captions: Sequence[str]) -> np.ndarray:
    """Put images of the same size side by side, each under its caption.

    Args:
        images: Images ``(H, W, 3)``, RGB, uint8.
        captions: One line of text per image.

    Returns:
        The row, RGB, uint8.

    Examples:
        >>> import numpy as np
        >>> from mmspd.visualization.pictures import picture_row
        >>> image = np.zeros((40, 60, 3), np.uint8)
        >>> picture_row([image, image], ['blurry', 'restored']).shape
        (62, 124, 3)
    """
    columns = []
    for image, caption in zip(images, captions):
        head = np.full((CAPTION_HEIGHT, image.shape[1], 3), 255, np.uint8)
        cv2.putText(
            head, caption, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA
        )
        columns += [np.concatenate([head, image]), np.full((head.shape[0] + len(image), 4, 3), 255)]
    return np.concatenate(columns[:-1], axis=1).astype(np.uint8)


def stack_rows(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Put rows below each other and fill narrower rows with white on the right.

    Args:
        rows: Pictures ``(H, W, 3)``, RGB, uint8, of any size.

    Returns:
        One picture, RGB, uint8.
    """
    width = max(row.shape[1] for row in rows)
    filled = [
        np.pad(row, ((0, 4), (0, width - row.shape[1]), (0, 0)), constant_values=255)
        for row in rows
    ]
    return np.concatenate(filled)


def gain_window(
    before: np.ndarray, after: np.ndarray, sharp: Optional[np.ndarray], size: int
) -> Tuple[slice, slice]:
    """Find the square in which ``after`` improves most on ``before``.

    Args:
        before: Restored image ``(H, W, 3)``, uint8.
        after: Restored image of the same shape, expected to be better than ``before``.
        sharp: Sharp image of the same shape. The improvement is the decrease of the squared error
            relative to this image. Without a sharp image, the result is the square in which the two
            restored images differ most.
        size: Side of the square in pixels. It must not be larger than the image.

    Returns:
        The rows and the columns of the square, as slices.

    Examples:
        >>> import numpy as np
        >>> from mmspd.visualization.pictures import gain_window
        >>> sharp = np.zeros((20, 30, 3), np.uint8)
        >>> before = sharp.copy()
        >>> before[5:9, 11:15] = 50
        >>> rows, columns = gain_window(before, sharp, sharp, size=4)
        >>> print(rows.start, rows.stop, columns.start, columns.stop)
        5 9 11 15
    """

    def error(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
        return np.square(image.astype(np.float32) - truth).sum(-1)

    gain = error(before, after) if sharp is None else error(before, sharp) - error(after, sharp)
    sums = cv2.boxFilter(gain, cv2.CV_64F, (size, size), anchor=(0, 0), normalize=False)
    inside = sums[: gain.shape[0] - size + 1, : gain.shape[1] - size + 1]
    row, column = np.unravel_index(np.argmax(inside), inside.shape)
    return slice(row, row + size), slice(column, column + size)
