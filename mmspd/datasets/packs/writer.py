"""Plan, write and verify packs (:mod:`mmspd.datasets.packs.pack`)."""

import fcntl
import json
import os
import shutil
import zlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Dict, List, Optional, Sequence, TextIO, Union

import numpy as np
from tqdm import tqdm

from mmspd.datasets.image_io import ColorError, read_rgb, read_size
from mmspd.datasets.packs.pack import (
    INDEX,
    PIXELS,
    Pack,
    PackedImage,
    PackedPair,
    read_pack,
)
from mmspd.datasets.paired import Pair, PairedImageDataset
from mmspd.errors import UserError, file_errors
from mmspd.utils.files import write_text
from mmspd.utils.parallel import map_in_processes
from mmspd.version import __version__

__all__ = ['plan_pack', 'write_pack']

#: File with the plan and a line ``[number, checksums]`` for each finished pair. The file is deleted
#: when the pack is complete.
_JOURNAL = 'journal.jsonl'


def plan_pack(dataset: PairedImageDataset, folder: Path, to_rgb: bool = False) -> Pack:
    """Plan the pack of a dataset from the headers of its images. No file is written.

    Args:
        dataset: Dataset that reads the image files (``packed='raw'``).
        folder: Parent folder of the pack. The name of the pack is ``dataset.pack_name``.
        to_rgb: Whether to convert gray, alpha and 16-bit images to 8-bit RGB.

    Returns:
        The existing pack if it is complete and made from the same images with the same settings,
        otherwise the plan of a new pack.

    Raises:
        UserError: An image cannot be read, the images of a pair differ in size, or the pack of
            another data set already has this name.
    """
    root, path = Path(dataset.data_root).expanduser(), folder / dataset.pack_name
    pairs: List[PackedPair] = []
    errors: List[UserError] = []
    offset = 0
    for pair in dataset.list_pairs():
        try:
            pairs.append(_plan_pair(root, pair, offset))
            offset += pairs[-1].nbytes * len(pairs[-1].images)
        except UserError as error:
            errors.append(error)
    _refuse(errors, len(pairs) + len(errors))
    plan = Pack(path, dataset.choices(), str(root.resolve()), __version__, to_rgb, pairs)
    try:
        existing = read_pack(path)
    except UserError:  # absent, cut off or damaged
        return plan
    if _contents(existing) == _contents(plan):
        return existing
    if existing.source != plan.source:
        raise UserError(
            f"'{path}' is the pack of another folder, '{existing.source}'; choose another output "
            'folder or delete this pack.'
        )
    return plan


def write_pack(plan: Pack, workers: int = 0) -> None:
    """Write and verify a pack, or continue an interrupted run with an equal plan.

    The images are written to the folder ``NAME.part``. This folder is renamed to ``NAME`` after all
    checksums have been verified. If an error occurs, the folder is deleted. If the run is killed,
    the folder remains, and the next run continues in this folder. If an image file or a setting has
    changed, the next run starts again.

    Args:
        plan: The plan.
        workers: Number of decoding processes; 0 uses this process.

    Raises:
        UserError: An image is unusable, the disk is full, or another process is writing the pack.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from mmspd.datasets import PairedFolderDataset
        >>> from mmspd.datasets.image_io import write_png
        >>> from mmspd.datasets.packs.pack import read_pack
        >>> from mmspd.datasets.packs.writer import plan_pack, write_pack
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for folder in ('input', 'target'):
        ...         write_png(Path(root, folder, 'cat.png'), np.zeros((32, 48, 3), np.uint8))
        ...     plan = plan_pack(PairedFolderDataset(root, lazy_init=True), Path(root, 'packs'))
        ...     write_pack(plan)
        ...     pack = read_pack(plan.path)
        ...     pack.path.name, pack.nbytes, pack.verify()
        ('pairs_input_target', 9216, [])
    """
    part = replace(plan, path=plan.path.with_name(plan.path.name + '.part'))
    try:
        part.path.mkdir(parents=True, exist_ok=True)
        with open(part.path / _JOURNAL, 'a+', encoding='ascii') as journal:
            try:
                # worker processes do not inherit this lock, so a killed run releases it
                fcntl.lockf(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(
                    f"'{plan.path}' is being written by another process; wait until that process "
                    'ends.'
                ) from error
            try:
                checksums = _resume(part, journal)
                _fill(part, journal, checksums, workers)
                _finish(part, checksums, plan.path)
            except (UserError, OSError):
                shutil.rmtree(part.path)
                raise
    except OSError as error:
        raise UserError(
            f"Cannot write '{plan.path}', {plan.nbytes:,} bytes ({error.strerror}); free space or "
            'choose another output folder.'
        ) from error


def _plan_pair(root: Path, pair: Pair, offset: int) -> PackedPair:
    """Plan a pair, without checksums."""
    images: List[PackedImage] = []
    sizes = {}
    for file in dict.fromkeys((pair.blur, pair.sharp)):  # a sharp photo is a single file
        with file_errors(file):
            (height, width), status = read_size(file), file.stat()
        name = os.path.relpath(file, root)
        sizes[f"'{name}' is {width}x{height}"] = height, width
        place = offset + len(images) * height * width * 3
        images.append(PackedImage(name, status.st_size, status.st_mtime_ns, place))
    if len(set(sizes.values())) > 1:
        raise UserError(f'{" and ".join(sizes)} pixels; give the images of a pair the same size.')
    return PackedPair(pair.key, pair.severity, height, width, images)


def _contents(pack: Pack) -> Pack:
    """Return a copy of a pack with only the fields that determine the pixels."""
    pairs = [
        replace(pair, images=[replace(image, checksum=0) for image in pair.images])
        for pair in pack.pairs
    ]
    return replace(pack, source='', version='', pairs=pairs, modified=0)


def _refuse(errors: Sequence[UserError], pairs: int) -> None:
    """If there are unusable pairs, raise an error that lists the first three of them."""
    if not errors:
        return
    more = f' And {len(errors) - 3} more.' if len(errors) > 3 else ''
    if any(isinstance(error, ColorError) for error in errors):
        more += ' Give --to-rgb to convert gray, alpha and 16-bit images.'
    first = ' '.join(map(str, errors[:3]))
    raise UserError(f'{len(errors)} of {pairs} pairs cannot be packed: {first}{more}')


def _resume(part: Pack, journal: TextIO) -> Dict[int, List[int]]:
    """Return a dict from the number of each finished pair to its checksums.

    If there is no unfinished pack with an equal plan, start a new pack and reserve its disk space.
    """
    try:
        finished = _finished(part, journal)
    except (ValueError, TypeError, IndexError, EOFError):  # damaged files
        finished = None
    if finished is not None:
        return finished
    journal.truncate(0)
    np.lib.format.open_memmap(part.path / PIXELS, 'w+', np.uint8, (part.nbytes,))
    with open(part.path / PIXELS, 'r+b') as file:
        os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
    journal.write(part.to_json() + '\n')
    journal.flush()
    return {}


def _finished(part: Pack, journal: TextIO) -> Optional[Dict[int, List[int]]]:
    """Return the finished pairs and their checksums, or ``None`` if the plans differ."""
    journal.seek(0)
    text = journal.read()
    lines = text.split('\n')[:-1]  # ignore an incomplete last line
    if lines[:1] != [part.to_json()]:
        return None
    journal.truncate(text.rfind('\n') + 1)
    recorded = dict(map(json.loads, lines[1:]))
    return {n: sums for n, sums in recorded.items() if part.checksums(part.pairs[n]) == sums}


def _fill(part: Pack, journal: TextIO, checksums: Dict[int, List[int]], workers: int) -> None:
    """Decode the unfinished pairs and add their checksums to ``checksums``."""
    numbers = [number for number in range(len(part.pairs)) if number not in checksums]
    decode = partial(_decode, part.path, Path(part.source), part.to_rgb)
    results = map_in_processes(decode, [part.pairs[number] for number in numbers], workers)
    errors: List[UserError] = []
    for number, result in zip(numbers, tqdm(results, total=len(numbers), unit='pair')):
        if isinstance(result, UserError):
            errors.append(result)
            continue
        checksums[number] = result
        journal.write(json.dumps([number, result]) + '\n')
        journal.flush()
    _refuse(errors, len(part.pairs))


def _decode(part: Path, root: Path, to_rgb: bool, pair: PackedPair) -> Union[List[int], UserError]:
    """Write the pixels of a pair; return their checksums, or the error of an unusable image."""
    start, checksums = np.load(part / PIXELS, mmap_mode='r').offset, []
    with open(part / PIXELS, 'r+b') as file:
        for image in pair.images:
            path = root / image.file
            try:
                with file_errors(path):
                    pixels = read_rgb(path, to_rgb)
            except UserError as error:
                return error
            height, width = pixels.shape[:2]
            if (height, width) != (pair.height, pair.width):
                return UserError(
                    f"'{path}' is {width}x{height} pixels, but its header says "
                    f'{pair.width}x{pair.height}; copy the file again.'
                )
            file.seek(start + image.offset)
            file.write(pixels.data)
            checksums.append(zlib.crc32(pixels.data))
    return checksums


def _finish(part: Pack, checksums: Dict[int, List[int]], path: Path) -> None:
    """Write the index, verify the pixels, and rename the folder."""
    pairs = [
        replace(pair, images=[replace(i, checksum=c) for i, c in zip(pair.images, checksums[n])])
        for n, pair in enumerate(part.pairs)
    ]
    write_text(part.path / INDEX, replace(part, pairs=pairs).to_json())
    with open(part.path / PIXELS, 'rb') as file:
        os.fsync(file.fileno())
        # drop the page cache, so that verify() reads the pixels from the disk
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    damaged = read_pack(part.path).verify()
    if damaged:
        raise UserError(
            f"The disk returned wrong pixels from '{part.path}' for {len(damaged)} images (first "
            f"'{damaged[0]}'); check the disk or choose another output folder."
        )
    for name in (PIXELS, INDEX, _JOURNAL):  # files of an older pack
        (path / name).unlink(missing_ok=True)
    os.replace(part.path, path)
    (path / _JOURNAL).unlink()
