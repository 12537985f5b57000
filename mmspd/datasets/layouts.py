"""Recognize the layout of an unpacked data set."""

import re
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

from mmspd.datasets.image_io import list_names
from mmspd.datasets.pair_names import ANY_NAME
from mmspd.datasets.paired import LIST_NAME
from mmspd.errors import UserError
from mmspd.utils.walk import list_folder

__all__ = ['DatasetSplit', 'recognize']

#: Names of the folders of blurry and of sharp images, in lower case.
BLURRY_NAMES = ('input', 'blur', 'blurry', 'lq', 'blur_gamma')
SHARP_NAMES = ('target', 'sharp', 'gt')

_GOPRO_BLURS = ('blur', 'blur_gamma')
_SPLIT_NAMES = ('train', 'val', 'valid', 'validation', 'test')
_REALBLUR_LIST = re.compile(r'RealBlur_([JR])_(\w+)_list\.txt')
_KNOWN = (
    'arrange the data as <split>/<sequence>/{blur,blur_gamma,sharp} (GoPro), as GT and '
    '{train,test} (HIDE), as RealBlur_{J,R}_{train,test}_list.txt and the listed folders '
    '(RealBlur), or as a folder of blurry images (input, blur, blurry, lq) next to a folder of '
    'sharp images (target, sharp, gt), at the top or in each split; for other names, give '
    f'--blur-template and --sharp-template, or list the pairs in a file {LIST_NAME}'
)


class DatasetSplit(NamedTuple):
    """One split of a data set on disk and the config that reads it.

    Attributes:
        layout: ``'gopro'``, ``'hide'``, ``'realblur'``, ``'pairs'`` or ``'list'``.
        split: Name of the split, such as ``'train'``; ``''`` if the folder has no splits.
        dataset: Config of the dataset, without a pipeline, for ``mmspd.registry.DATASETS.build``.
    """

    layout: str
    split: str
    dataset: Dict[str, Any]


def recognize(
    root: Path, blur_template: str = ANY_NAME, sharp_template: str = ANY_NAME
) -> List[DatasetSplit]:
    """Recognize the data set in a folder by the names of its folders and list files.

    No image is opened. The known layouts are GOPRO_Large (this includes synthesized data and a
    folder with only one split), HIDE, RealBlur, and pairs of folders. Pairs of folders may be flat
    (``<split>/{blur,sharp}/*.png``), have sub-folders
    (``<split>/{blur,sharp}/<sequence>/*.png``) or have no splits (``{input,target}/*.png``). If the
    folder or a split contains a file ``pairs.txt``, this file lists the pairs.

    Args:
        root: Folder of the data set.
        blur_template: Name template of blurry images; see
            :class:`~mmspd.datasets.folders.PairedFolderDataset`. With a template, the layout is
            pairs of folders, and both images of a pair may be in the same folder.
        sharp_template: Name template of sharp images.

    Returns:
        The splits, at least one. A GoPro split with two blur folders gives two entries. A RealBlur
        folder gives an entry for each list file.

    Raises:
        UserError: The folder does not exist or its layout is unknown.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from mmspd.datasets.layouts import recognize
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for folder in ('train/input', 'train/target'):
        ...         Path(root, folder).mkdir(parents=True)
        ...     [(split.layout, split.split) for split in recognize(Path(root))]
        [('pairs', 'train')]
    """
    root = root.expanduser()
    if not root.is_dir():
        raise UserError(f"The data folder '{root}' does not exist; correct the path.")
    splits = _find(root, blur_template, sharp_template)
    if splits:
        return splits
    inner = next((path for path in _folders(root) if _find(path)), None)
    fix = f"use '{inner}'" if inner else _KNOWN
    raise UserError(f"'{root}' has an unknown layout (it holds {list_names(root)}); {fix}.")


def _find(
    root: Path, blur_template: str = ANY_NAME, sharp_template: str = ANY_NAME
) -> List[DatasetSplit]:
    """Find lists of pairs, and try the layouts in turn for the splits without a list."""
    if {blur_template, sharp_template} != {ANY_NAME}:
        return _named_pairs(root, blur_template, sharp_template)
    lists = _lists(root)
    listed = {part.split for part in lists}
    if '' in listed:
        return lists
    # the least ambiguous layout comes first
    others = _realblur(root) or _hide(root) or _folder_pairs(root) or _gopro(root)
    return lists + [part for part in others if part.split not in listed]


def _lists(root: Path) -> List[DatasetSplit]:
    """Find the lists of pairs, at the top or in splits."""
    if (root / LIST_NAME).is_file():
        return [DatasetSplit('list', '', _dataset('PairList', root))]
    return [
        DatasetSplit('list', folder.name, _dataset('PairList', root, split=folder.name))
        for folder in _folders(root)
        if (folder / LIST_NAME).is_file()
    ]


def _named_pairs(root: Path, blur_template: str, sharp_template: str) -> List[DatasetSplit]:
    """Return the pairs of names that fit two templates, of each split or else of the folder."""
    names = [folder.name for folder in _folders(root) if folder.name in _SPLIT_NAMES]
    return [
        DatasetSplit(
            'pairs',
            split,
            _dataset(
                'PairedFolder',
                root,
                blur_dir=blur_dir,
                sharp_dir=sharp_dir,
                blur_template=blur_template,
                sharp_template=sharp_template,
            ),
        )
        for split in names or ['']
        for blur_dir, sharp_dir in _pair_folders(root / split, split) or [(split, split)]
    ]


def _folders(root: Path) -> List[Path]:
    """Return the visible sub-folders, sorted."""
    return [path for path in map(Path, list_folder(root)) if path.is_dir()]


def _realblur(root: Path) -> List[DatasetSplit]:
    """Find the splits that have a RealBlur list file."""
    lists = (_REALBLUR_LIST.fullmatch(entry.name) for entry in list_folder(root))
    return [
        DatasetSplit(
            'realblur', match[2], _dataset('RealBlur', root, subset=match[1], split=match[2])
        )
        for match in lists
        if match
    ]


def _hide(root: Path) -> List[DatasetSplit]:
    """Find the splits of HIDE, which share one folder of sharp images."""
    if not (root / 'GT').is_dir():
        return []
    splits = [split for split in ('train', 'test') if (root / split).is_dir()]
    return [DatasetSplit('hide', split, _dataset('HIDE', root, split=split)) for split in splits]


def _folder_pairs(root: Path) -> List[DatasetSplit]:
    """Find folders of blurry images next to folders of sharp images, at the top or in splits."""
    splits = []
    for folder in (root, *_folders(root)):
        split = '' if folder == root else folder.name
        if split not in ('', *_SPLIT_NAMES) and any(
            path.name.lower() == 'sharp' for path in _folders(folder)
        ):
            continue  # a GoPro sequence, not a split
        splits += [
            DatasetSplit(
                'pairs', split, _dataset('PairedFolder', root, blur_dir=blur, sharp_dir=sharp)
            )
            for blur, sharp in _pair_folders(folder, split)
        ]
    return splits


def _pair_folders(folder: Path, split: str) -> List[Tuple[str, str]]:
    """Return the names of the folders of blurry and of sharp images in a folder, with the split."""
    names = {path.name.lower(): path.name for path in _folders(folder)}
    prefix = f'{split}/' if split else ''
    return [
        (prefix + names[blurry], prefix + names[sharp])
        for blurry in BLURRY_NAMES
        for sharp in SHARP_NAMES
        if blurry in names and sharp in names
    ]


def _gopro(root: Path) -> List[DatasetSplit]:
    """Find the splits of GoPro. The root may itself be a split."""
    splits = [split for folder in _folders(root) for split in _gopro_split(root, folder)]
    if splits:
        return splits
    root = root.resolve()  # '.' has no name
    return _gopro_split(root.parent, root)


def _gopro_split(root: Path, split: Path) -> List[DatasetSplit]:
    """Return an entry for each blur folder that the sequences of a split have."""
    sequences = [folder for folder in _folders(split) if (folder / 'sharp').is_dir()]
    return [
        DatasetSplit('gopro', split.name, _dataset('GoPro', root, split=split.name, blur_key=blur))
        for blur in _GOPRO_BLURS
        if any((sequence / blur).is_dir() for sequence in sequences)
    ]


def _dataset(kind: str, root: Path, **choices: str) -> Dict[str, Any]:
    """Return the config of a dataset."""
    return dict(type=f'mmspd.{kind}Dataset', data_root=str(root), **choices)
