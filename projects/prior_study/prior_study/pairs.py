"""Pairs of blurry and sharp images on disk."""

from pathlib import Path
from typing import Any, Dict

import cv2

from mmspd.datasets.image_io import read_rgb, write_png
from mmspd.datasets.layouts import recognize
from mmspd.errors import UserError
from mmspd.registry import DATASETS

__all__ = ['only_split', 'reduce_pairs']


def only_split(folder: Path) -> Dict[str, Any]:
    """Return the config of the data set in a folder.

    Args:
        folder: Folder of pairs.

    Raises:
        UserError: The folder has no pairs, or several sets.
    """
    splits = recognize(folder)
    if len(splits) > 1:
        held = ', '.join(part.split or '.' for part in splits)
        raise UserError(f"'{folder}' holds several sets ({held}); give the folder of one of them.")
    return splits[0].dataset


def reduce_pairs(source: Path, scale: float, out: Path) -> Path:
    """Write reduced copies of pairs, and return their folder.

    Args:
        source: Folder of pairs with one split.
        scale: Factor in (0, 1).
        out: Output folder.
    """
    for pair in DATASETS.build(dict(only_split(source), lazy_init=True)).find_pairs():
        for name, path in (('blur', pair.blur), ('sharp', pair.sharp)):
            image = read_rgb(path)
            reduced = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            write_png(out / name / f'{pair.key.replace("/", "_")}.png', reduced)
    return out
