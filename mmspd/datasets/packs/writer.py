"""Making packs (:mod:`mmspd.datasets.packs.pack`): planned, written and verified."""

import errno
import fcntl
import json
import os
import shutil
import zlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Sequence, TextIO, Union

import numpy as np
from tqdm import tqdm

from mmspd.datasets.image_io import ColorError, read_rgb, read_size
from mmspd.datasets.packs.pack import (
    INDEX,
    PIXELS,
    Pack,
    PackedImage,
    PackedPair,
    open_pixels,
    read_pack,
)
from mmspd.errors import UserError
from mmspd.utils.files import write_text
from mmspd.utils.parallel import map_in_processes
from mmspd.version import __version__

if TYPE_CHECKING:
    from mmspd.datasets.paired import Pair, PairedImageDataset

__all__ = ['check_space', 'plan_pack', 'write_pack']

#: While a pack is made: the plan in the first line, then [number, checksums] of each finished pair.
_JOURNAL = 'journal.jsonl'


def plan_pack(dataset: 'PairedImageDataset', folder: Path, to_rgb: bool = False) -> Pack:
    """Plan the pack of a dataset from the headers of its images; nothing is written.

    Args:
        dataset: Reads the image files.
        folder: Where the pack goes; its name is the dataset's ``pack_name``.
        to_rgb: Convert gray, alpha and 16-bit images to 8-bit RGB.

    Returns:
        The existing pack, if it is complete and made from the same images with the same choices;
        otherwise the plan of a new one.

    Raises:
        UserError: An image cannot be read, the images of a pair differ in size, or the pack of
            another folder has this name.
    """
    root, path = Path(dataset.data_root).expanduser(), folder / dataset.pack_name
    listed = dataset.list_pairs()
    pairs: List[PackedPair] = []
    errors: List[UserError] = []
    offset = 0
    for pair in listed:
        try:
            pairs.append(_plan_pair(root, pair, offset))
        except UserError as error:
            errors.append(error)
            continue
        offset += pairs[-1].nbytes * len(pairs[-1].images)
    _refuse(errors, len(listed))
    plan = Pack(path, dataset.choices(), str(root.resolve()), __version__, to_rgb, pairs)
    try:
        existing = read_pack(path)
    except UserError:  # absent, cut off or damaged
        return plan
    if _contents(existing) == _contents(plan):
        return existing
    if existing.source != plan.source:
        raise UserError(
            f"'{path}' holds the pack of another folder, '{existing.source}': choose another "
            'output folder, or delete it'
        )
    return plan


def check_space(plans: Sequence[Pack], folder: Path) -> None:
    """Refuse packs that the disk has no room for.

    Args:
        plans: The packs; those that are complete need no room.
        folder: Where they go; it need not exist.

    Raises:
        UserError: The disk is too small.
    """
    plans = [plan for plan in plans if not plan.complete]
    existing = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    needed = sum(plan.nbytes for plan in plans)
    # an interrupted run has reserved its room already
    reserved = [file for plan in plans if (file := _part(plan) / PIXELS).is_file()]
    free = shutil.disk_usage(existing).free + sum(f.stat().st_blocks * 512 for f in reserved)
    if needed > free:
        raise UserError(
            f"packing needs {needed:,} bytes in '{folder}', {free:,} are free: free some or choose "
            'another folder'
        )


def write_pack(plan: Pack, workers: int = 0) -> None:
    """Write a pack and verify it, or go on where an interrupted run of the same plan stopped.

    The pack appears under its name once it is whole and its checksums have been read back. An
    error removes the unfinished pack; a killed run leaves a folder ``NAME.part``, which the next
    run continues, or starts anew if an image file or a choice has changed.

    Args:
        plan: The pack.
        workers: Processes that decode at the same time; 0 is this one.

    Raises:
        UserError: Images cannot be used, the disk is full, or another process makes this pack.
    """
    part = _part(plan)
    try:
        part.mkdir(parents=True, exist_ok=True)
        with open(part / _JOURNAL, 'a+', encoding='ascii') as journal:
            try:
                # a lock of the process: workers that outlive a killed packer do not inherit it
                fcntl.lockf(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(
                    f"'{plan.path}' is being made by another process: wait for it"
                ) from error
            try:
                checksums = _resume(plan, journal)
                _fill(plan, journal, checksums, workers)
                _finish(plan, checksums)
            except (UserError, OSError):
                shutil.rmtree(part)
                raise
    except OSError as error:
        raise UserError(f"cannot write '{plan.path}': {error.strerror}") from error


def _part(plan: Pack) -> Path:
    """Return the folder's name while the pack is made."""
    return plan.path.with_name(plan.path.name + '.part')


def _plan_pair(root: Path, pair: 'Pair', offset: int) -> PackedPair:
    """Give a pair its place, without checksums yet."""
    images: List[PackedImage] = []
    sizes = {}
    for file in dict.fromkeys((pair.blur, pair.sharp)):  # one file may stand for both
        height, width = read_size(file)
        name, status = os.path.relpath(file, root), file.stat()
        sizes[f"'{name}' is {width}x{height}"] = height, width
        place = offset + len(images) * height * width * 3
        images.append(PackedImage(name, status.st_size, status.st_mtime_ns, place))
    if len(set(sizes.values())) > 1:
        raise UserError(f'a pair needs equal sizes, but {", ".join(sizes)}')
    return PackedPair(pair.key, pair.severity, height, width, images)


def _contents(pack: Pack) -> Pack:
    """Return a pack reduced to all that its pixels and their order depend on."""
    pairs = [
        replace(pair, images=[replace(image, checksum=0) for image in pair.images])
        for pair in pack.pairs
    ]
    return replace(pack, source='', version='', pairs=pairs, modified=0)


def _refuse(errors: Sequence[UserError], pairs: int) -> None:
    """Raise an error that names the first pairs that cannot be packed, if there are any."""
    if not errors:
        return
    more = f'; and {len(errors) - 3} more' if len(errors) > 3 else ''
    if any(isinstance(error, ColorError) for error in errors):
        more += '; give --to-rgb to convert gray, alpha and 16-bit images'
    names = '; '.join(map(str, errors[:3]))
    raise UserError(f'{len(errors)} of {pairs} pairs cannot be packed: {names}{more}')


def _resume(plan: Pack, journal: TextIO) -> Dict[int, List[int]]:
    """Return the checksums of the finished pairs by their number, or make room to begin."""
    journal.seek(0)
    text = journal.read()
    lines = text.split('\n')[:-1]  # a line that was cut off has no end
    pixels, checksums = _part(plan) / PIXELS, {}
    if lines[:1] == [plan.to_json()] and pixels.is_file():
        journal.truncate(text.rfind('\n') + 1)
        start = open_pixels(pixels.parent).offset
        with open(pixels, 'rb') as file:
            for number, recorded in map(json.loads, lines[1:]):
                if plan.pairs[number].checksums(file, start) == recorded:
                    checksums[number] = recorded
    else:
        _reserve(plan, pixels)
        journal.truncate(0)
        journal.write(plan.to_json() + '\n')
        journal.flush()
    return checksums


def _reserve(plan: Pack, pixels: Path) -> None:
    """Make the array and take its room on the disk before any work is done."""
    with open(pixels, 'wb') as file:
        header = dict(descr='|u1', fortran_order=False, shape=(plan.nbytes,))
        np.lib.format.write_array_header_1_0(file, header)
        file.flush()
        try:
            os.posix_fallocate(file.fileno(), file.tell(), plan.nbytes)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                check_space([plan], plan.path.parent)
            raise


def _fill(plan: Pack, journal: TextIO, checksums: Dict[int, List[int]], workers: int) -> None:
    """Decode the pairs that are not done, and add their checksums."""
    numbers = [number for number in range(len(plan.pairs)) if number not in checksums]
    decode = partial(_decode, _part(plan), Path(plan.source), plan.to_rgb)
    results = map_in_processes(decode, [plan.pairs[number] for number in numbers], workers)
    errors: List[UserError] = []
    for number, result in zip(numbers, tqdm(results, total=len(numbers), unit='pair')):
        if isinstance(result, UserError):
            errors.append(result)
            continue
        checksums[number] = result
        journal.write(json.dumps([number, result]) + '\n')
        journal.flush()
    _refuse(errors, len(plan.pairs))


def _decode(part: Path, root: Path, to_rgb: bool, pair: PackedPair) -> Union[List[int], UserError]:
    """Decode a pair into the array; return its checksums, or why an image cannot be used."""
    start, checksums = open_pixels(part).offset, []
    with open(part / PIXELS, 'r+b') as file:
        for image in pair.images:
            path = root / image.file
            try:
                pixels = read_rgb(path, to_rgb)
            except UserError as error:
                return error
            height, width = pixels.shape[:2]
            if (height, width) != (pair.height, pair.width):
                return UserError(f"'{path}' is {width}x{height}, not as its header said")
            file.seek(start + image.offset)
            file.write(pixels.data)
            checksums.append(zlib.crc32(pixels.data))
    return checksums


def _finish(plan: Pack, checksums: Dict[int, List[int]]) -> None:
    """Add the index, read everything back, and give the pack its name."""
    part = _part(plan)
    pairs = [
        replace(pair, images=[replace(i, checksum=c) for i, c in zip(pair.images, checksums[n])])
        for n, pair in enumerate(plan.pairs)
    ]
    write_text(part / INDEX, replace(plan, pairs=pairs).to_json())
    for name in (INDEX, PIXELS):
        with open(part / name, 'rb') as file:
            os.fsync(file.fileno())
            # the check shall read the disk, not the memory that still holds the same
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    damaged = read_pack(part).verify()
    if damaged:
        raise UserError(
            f"the disk does not return the pixels written to '{part}' for {len(damaged)} images "
            f"(the first: '{damaged[0]}'): check the disk, or choose another folder"
        )
    for name in (PIXELS, INDEX, _JOURNAL):  # of the pack that this one replaces
        (plan.path / name).unlink(missing_ok=True)
    os.replace(part, plan.path)
    (plan.path / _JOURNAL).unlink()
