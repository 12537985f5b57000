"""Recognizing the layout of a data set that has been unpacked somewhere."""

import re
from pathlib import Path
from typing import Any, Dict, List, NamedTuple

from mmspd.datasets.image_io import list_names
from mmspd.errors import UserError

__all__ = ['DatasetSplit', 'recognize']

#: Names of the folders of a pair of folders, in lower case.
BLURRY_NAMES = ('input', 'blur', 'blurry', 'lq', 'blur_gamma')
SHARP_NAMES = ('target', 'sharp', 'gt')

_GOPRO_BLURS = ('blur', 'blur_gamma')
_SPLIT_NAMES = ('train', 'val', 'valid', 'validation', 'test')
_REALBLUR_LIST = re.compile(r'RealBlur_([JR])_(\w+)_list\.txt')
_KNOWN = (
    'the known layouts are <split>/<sequence>/{blur,blur_gamma,sharp} (GoPro), GT and '
    '{train,test} (HIDE), RealBlur_{J,R}_{train,test}_list.txt and the folders they name '
    '(RealBlur), and a folder of blurry images (input, blur, blurry, lq) beside one of sharp '
    'images (target, sharp, gt), in the folder itself or in its splits'
)


class DatasetSplit(NamedTuple):
    """A part of a data set that a dataset class can read.

    Args:
        layout: ``'gopro'``, ``'hide'``, ``'realblur'`` or ``'pairs'``.
        split: Name of the part, such as ``'train'``; ``''`` where the folder has no splits.
        dataset: Config of the dataset, without a pipeline, for ``mmspd.registry.DATASETS.build``.
    """

    layout: str
    split: str
    dataset: Dict[str, Any]


def recognize(root: Path) -> List[DatasetSplit]:
    """Find what a folder holds, by the names of its folders and lists; no image is opened.

    Known are GOPRO_Large (and all in its layout, as synthesized data), HIDE and RealBlur as they
    are unpacked, and folder pairs: flat (``<split>/{blur,sharp}/*.png``), with sub-folders
    (``<split>/{blur,sharp}/<sequence>/*.png``) or without splits (``{input,target}/*.png``). The
    folder of a single GoPro split is recognized too.

    Args:
        root: The folder.

    Returns:
        Its parts, at least one: a split with two blur folders, or RealBlur with both subsets,
        gives one for each.

    Raises:
        UserError: The folder does not exist or nothing known is in it.
    """
    root = root.expanduser()
    if not root.is_dir():
        raise UserError(f"the data folder '{root}' does not exist: correct the path")
    splits = _find(root)
    if splits:
        return splits
    inner = next((path for path in _folders(root) if _find(path)), None)
    cure = f"give '{inner}'" if inner else _KNOWN
    raise UserError(f"no data set is recognized in '{root}' (it holds {list_names(root)}): {cure}")


def _find(root: Path) -> List[DatasetSplit]:
    """Try the layouts, the surest first."""
    return _realblur(root) or _hide(root) or _folder_pairs(root) or _gopro(root)


def _folders(root: Path) -> List[Path]:
    """Return the folders in a folder, sorted, without hidden ones."""
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith('.'))


def _realblur(root: Path) -> List[DatasetSplit]:
    """Find the list files of RealBlur."""
    lists = (_REALBLUR_LIST.fullmatch(path.name) for path in sorted(root.iterdir()))
    return [
        DatasetSplit(
            'realblur', match[2], _dataset('RealBlur', root, subset=match[1], split=match[2])
        )
        for match in lists
        if match
    ]


def _hide(root: Path) -> List[DatasetSplit]:
    """Find the splits that share one folder of sharp images."""
    if not (root / 'GT').is_dir():
        return []
    splits = [split for split in ('train', 'test') if (root / split).is_dir()]
    return [DatasetSplit('hide', split, _dataset('HIDE', root, split=split)) for split in splits]


def _folder_pairs(root: Path) -> List[DatasetSplit]:
    """Find folders of blurry images beside folders of sharp ones, in the root or its splits."""
    splits = []
    for folder in (root, *_folders(root)):
        names = {path.name.lower(): path.name for path in _folders(folder)}
        split = '' if folder == root else folder.name
        if split not in ('', *_SPLIT_NAMES) and 'sharp' in names:
            continue  # a sequence of GoPro
        prefix = f'{split}/' if split else ''
        splits += [
            DatasetSplit(
                'pairs',
                split,
                _dataset(
                    'PairedFolder',
                    root,
                    blur_dir=prefix + names[blurry],
                    sharp_dir=prefix + names[sharp],
                ),
            )
            for blurry in BLURRY_NAMES
            for sharp in SHARP_NAMES
            if blurry in names and sharp in names
        ]
    return splits


def _gopro(root: Path) -> List[DatasetSplit]:
    """Find splits of sequences, or take the root for one."""
    splits = [split for folder in _folders(root) for split in _gopro_split(root, folder)]
    if splits:
        return splits
    root = root.resolve()  # it may be given as '.'
    return _gopro_split(root.parent, root)


def _gopro_split(root: Path, split: Path) -> List[DatasetSplit]:
    """Find which blurs the sequences of a split hold."""
    sequences = [folder for folder in _folders(split) if (folder / 'sharp').is_dir()]
    return [
        DatasetSplit('gopro', split.name, _dataset('GoPro', root, split=split.name, blur_key=blur))
        for blur in _GOPRO_BLURS
        if any((sequence / blur).is_dir() for sequence in sequences)
    ]


def _dataset(kind: str, root: Path, **choices: str) -> Dict[str, Any]:
    """Return the config of one of the datasets."""
    return dict(type=f'mmspd.{kind}Dataset', data_root=str(root), **choices)
