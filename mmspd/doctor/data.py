"""Check the environment variables that name data sets and weights."""

import os
from pathlib import Path
from typing import Any, List, Sequence

from mmspd.datasets.sources import DATA_FOLDERS, SOURCES, DataFolder
from mmspd.doctor.report import Line, looked_at

__all__ = ['data_lines']

#: Other variables that change the devices, threads and folders of downloads.
_OTHERS = (
    'CUDA_VISIBLE_DEVICES',
    'OMP_NUM_THREADS',
    'MMSPD_HOME',
    'HF_HOME',
    'HF_HUB_OFFLINE',
    'HTTPS_PROXY',
)
_SOURCES = {source.variable: name for name, source in SOURCES.items()}


def data_lines(count: bool) -> List[Line]:
    """Check the folders of the data sets, and the other variables that mmspd reads.

    Args:
        count: Whether to find and count the pairs.

    Returns:
        A line for each variable, and for each split that was found.
    """
    lines = []
    for variable, data in DATA_FOLDERS.items():
        lines += _data_folder(variable, data, count)
    return [*lines, _packs(), _teacher(), *_others()]


def _data_folder(variable: str, data: DataFolder, count: bool) -> List[Line]:
    given = os.environ.get(variable)
    folder = Path(data.default if given is None else given)
    found = f"'{folder}'" + ('' if given is not None else ' (default)')
    if given == '':
        return [Line('FAULT', variable, 'empty', 'set it to a folder, or unset it')]
    if not folder.is_dir():
        if given is not None:
            fix = 'correct the variable, or unset it'
            return [Line('FAULT', variable, f'{found} does not exist', fix)]
        source = _SOURCES.get(variable)
        fix = f'to get the data, run mmspd data download {source}' if source else ''
        return [Line('-', variable, f'{found} does not exist', fix)]
    fix = f"run mmspd check '{folder}'"
    if data.layouts:
        contents = looked_at(variable, fix, _pairs, folder, data.layouts, count)
    else:
        contents = looked_at(variable, fix, _photos, folder) if count else []
    return [Line('ok', variable, found), *contents]


def _photos(folder: Path) -> List[Line]:
    from mmspd.datasets.image_io import images_by_stem

    return [Line('ok', '  photos', str(len(images_by_stem(folder))))]


def _pairs(folder: Path, layouts: Sequence[str], count: bool) -> List[Line]:
    from mmspd.datasets.layouts import recognize

    lines = []
    for layout, split, config in recognize(folder):
        name = '  ' + ' '.join(filter(None, [layout, config.get('subset'), split]))
        if layout not in layouts:
            fix = f'set the variable to data in the layout {" or ".join(layouts)}'
            lines.append(Line('FAULT', name, 'another layout than the recipes read', fix))
            continue
        found = _counted(config) if count else 'found'
        blurry = config.get('blur_key') or config.get('blur_dir')
        lines.append(Line('ok', name, f'{found}, blurry images in {blurry}' if blurry else found))
    return lines


def _counted(config: Any) -> str:
    from mmspd.registry import DATASETS

    dataset = DATASETS.build(dict(config, pipeline=[], lazy_init=True))
    pairs = len(dataset.find_pairs())
    official = getattr(dataset, 'OFFICIAL_PAIRS', {}).get(config.get('split'), pairs)
    return f'{pairs} pairs' if pairs == official else f'{pairs} of the {official} published pairs'


def _packs() -> Line:
    value = os.environ.get('MMSPD_PACKED', 'raw')
    if value == 'raw':
        return Line('ok', 'MMSPD_PACKED', 'raw: image files are read')
    if not value or not Path(value).is_dir():
        fix = 'set it to the folder of the packs, or unset it'
        return Line('FAULT', 'MMSPD_PACKED', f"'{value}' does not exist", fix)
    names = sorted(path.parent.name for path in Path(value).glob('*/index.json'))
    return Line('ok', 'MMSPD_PACKED', f"'{value}' with the packs {', '.join(names) or 'none'}")


def _teacher() -> Line:
    value = os.environ.get('MMSPD_TEACHER')
    if value is None:
        return Line('ok', 'MMSPD_TEACHER', 'not set: each recipe names its teacher')
    if value in ('random', 'timm') or '://' in value or Path(value).is_file():
        return Line('ok', 'MMSPD_TEACHER', f"'{value}'")
    fix = 'set it to the weights of the teacher, or unset it'
    return Line('FAULT', 'MMSPD_TEACHER', f"'{value}' does not exist", fix)


def _others() -> List[Line]:
    """List the other variables that are set. The address of a proxy may contain a password."""
    values = {name: os.environ[name] for name in _OTHERS if name in os.environ}
    return [
        Line('ok', name, 'set' if name.endswith('PROXY') else repr(value))
        for name, value in values.items()
    ]
