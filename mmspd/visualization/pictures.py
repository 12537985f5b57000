"""Pictures for people: rows of images with captions."""

from typing import Optional, Sequence, Tuple

import cv2
import numpy as np
from torch import Tensor

__all__ = ['gain_window', 'picture_row', 'stack_rows', 'to_uint8']

CAPTION_HEIGHT = 22


def to_uint8(img: Tensor) -> np.ndarray:
    """Turn an image ``(3, H, W)``, RGB, [0, 1], into ``(H, W, 3)`` uint8, clamped and rounded."""
    return (img.detach().float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()


def picture_row(images: Sequence[np.ndarray], captions: Sequence[str]) -> np.ndarray:
    """Put images of one size side by side, each under its caption.

    Args:
        images: each ``(H, W, 3)``, RGB, uint8.
        captions: one line each.

    Returns:
        One image, RGB, uint8.
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
    """Put rows below each other, the narrower ones filled up with white at the right."""
    width = max(row.shape[1] for row in rows)
    filled = [
        np.pad(row, ((0, 4), (0, width - row.shape[1]), (0, 0)), constant_values=255)
        for row in rows
    ]
    return np.concatenate(filled)


def gain_window(
    before: np.ndarray, after: np.ndarray, sharp: Optional[np.ndarray], size: int
) -> Tuple[slice, slice]:
    """Find the square where one restored image gains most over another.

    Args:
        before: ``(H, W, 3)``, uint8.
        after: likewise.
        sharp: likewise; the gain is in squared error to it. Without it the square is found where
            the two differ most.
        size: side of the square, at most that of the image.

    Returns:
        Rows and columns of the square.
    """

    def error(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
        return np.square(image.astype(np.float32) - truth).sum(-1)

    gain = error(before, after) if sharp is None else error(before, sharp) - error(after, sharp)
    sums = cv2.boxFilter(gain, cv2.CV_64F, (size, size), anchor=(0, 0), normalize=False)
    inside = sums[: gain.shape[0] - size + 1, : gain.shape[1] - size + 1]
    row, column = np.unravel_index(np.argmax(inside), inside.shape)
    return slice(row, row + size), slice(column, column + size)
