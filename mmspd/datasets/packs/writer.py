"""Writing a pack (:mod:`mmspd.datasets.packs.pack`) such that it is whole or absent."""

import errno
import fcntl
import hashlib
import os
import shutil
import zlib
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Sequence, TextIO

from tqdm import tqdm

from mmspd.datasets.image_io import ColorError, read_rgb
from mmspd.datasets.packs.pack import PackedPair, encode_tail, verify_pack
from mmspd.datasets.packs.plan import PackPlan, refuse_space, unusable
from mmspd.errors import UserError
from mmspd.utils.parallel import map_in_processes

__all__ = ['write_pack']


def write_pack(plan: PackPlan, workers: int = 0) -> None:
    """Write a pack and verify it, going on with what an interrupted run of the same plan has done.

    The file appears under its name once it is whole and its checksums have been read back; after
    an error nothing of it is left. A killed run leaves a ``.part`` and its ``.journal``, which the
    next one takes up, or starts anew if an image file or a choice has changed.

    Args:
        plan: What to write.
        workers: Processes that decode at the same time; 0 is this one.

    Raises:
        UserError: Images cannot be used, the disk is full, or another process makes this pack.
    """
    try:
        plan.path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(plan.journal) as journal:
            _write(plan, journal, workers)
    except OSError as error:
        raise UserError(f"cannot write '{plan.path}': {error.strerror}") from error


def _write(plan: PackPlan, journal: TextIO, workers: int) -> None:
    """Write the pack, or leave nothing."""
    try:
        done = _take_up(plan, journal)
        _reserve(plan)
        _fill(plan, journal, done, workers)
        _finish(plan, done)
    except (UserError, OSError):
        plan.part.unlink(missing_ok=True)
        plan.journal.unlink()
        raise
    plan.journal.unlink()


@contextmanager
def _locked(path: Path) -> Iterator[TextIO]:
    """Open the journal for this process alone."""
    with open(path, 'a+', encoding='utf-8') as file:
        try:
            # a lock of the process: workers that outlive a killed packer do not inherit it
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"'{path.with_suffix('')}' is being made by another process: wait for it"
            ) from error
        yield file


def _take_up(plan: PackPlan, journal: TextIO) -> Dict[int, List[int]]:
    """Return the checksums by pair that an earlier run has written, and begin the journal anew."""
    digest = hashlib.sha256(plan.index.to_json()).hexdigest()
    journal.seek(0)
    lines = journal.read().split('\n')[:-1]  # a line that was cut off has no end
    done = {}
    if lines[:1] == [digest] and plan.part.is_file():
        with open(plan.part, 'rb') as file:
            for line in lines[1:]:
                number, *checksums = map(int, line.split())
                if plan.index.pairs[number].checksums(file) == checksums:
                    done[number] = checksums
    else:
        plan.part.unlink(missing_ok=True)
    journal.truncate(0)
    journal.write(f'{digest}\n')
    for number, checksums in done.items():
        _record(journal, number, checksums)
    return done


def _record(journal: TextIO, number: int, checksums: Sequence[int]) -> None:
    """Note that a pair is in the part."""
    journal.write(f'{number} {" ".join(map(str, checksums))}\n')
    journal.flush()


def _reserve(plan: PackPlan) -> None:
    """Take the room on the disk before any work is done."""
    folder = plan.path.parent
    with open(plan.part, 'ab') as file:
        free = shutil.disk_usage(folder).free + os.fstat(file.fileno()).st_blocks * 512
        try:
            os.posix_fallocate(file.fileno(), 0, plan.nbytes)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                refuse_space(folder, plan.nbytes, free)
            raise


class _Job(NamedTuple):
    """A pair to be decoded into the part."""

    part: Path
    root: Path
    pair: PackedPair
    to_rgb: bool


class _Outcome(NamedTuple):
    """The checksums of a pair, or why its images cannot be used."""

    checksums: List[int]
    faults: List[str]
    color: bool


def _fill(plan: PackPlan, journal: TextIO, done: Dict[int, List[int]], workers: int) -> None:
    """Decode the pairs that are not done into the part, and add their checksums to ``done``."""
    left = [number for number in range(len(plan.index.pairs)) if number not in done]
    jobs = [
        _Job(plan.part, Path(plan.index.source), plan.index.pairs[number], plan.index.to_rgb)
        for number in left
    ]
    outcomes = map_in_processes(_decode, jobs, workers)
    faults: List[str] = []
    color = False
    for outcome, number in zip(tqdm(outcomes, total=len(jobs), unit='pair'), left):
        if not outcome.faults:
            _record(journal, number, outcome.checksums)
            done[number] = outcome.checksums
        faults += outcome.faults
        color |= outcome.color
    if faults:
        hint = '; give --to-rgb to convert gray, alpha and 16-bit images' if color else ''
        raise unusable(faults, len(plan.index.pairs), hint)


def _decode(job: _Job) -> _Outcome:
    """Decode a pair into the part."""
    checksums, faults, color = [], [], False
    with open(job.part, 'r+b') as file:
        for image in job.pair.images:
            path = job.root / image.file
            try:
                pixels = read_rgb(path, job.to_rgb)
            except UserError as error:
                faults.append(str(error))
                color |= isinstance(error, ColorError)
                continue
            height, width = pixels.shape[:2]
            if (height, width) != (job.pair.height, job.pair.width):
                faults.append(f"'{path}' is {width}x{height}, not as its header said")
                continue
            file.seek(image.offset)
            file.write(pixels)
            checksums.append(zlib.crc32(pixels))
    return _Outcome(checksums, faults, color)


def _finish(plan: PackPlan, done: Dict[int, List[int]]) -> None:
    """Add header and index, read everything back, and give the file its name."""
    pairs = [
        replace(
            pair,
            blur=replace(pair.blur, crc32=done[number][0]),
            sharp=replace(pair.sharp, crc32=done[number][-1]),
        )
        for number, pair in enumerate(plan.index.pairs)
    ]
    header, index = encode_tail(replace(plan.index, pairs=pairs), plan.pixels_end)
    with open(plan.part, 'r+b') as file:
        file.write(header)
        file.seek(plan.pixels_end)
        file.write(index)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())
        # what is read back shall be what the disk holds, not what memory still does
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    damaged = verify_pack(plan.part)
    if damaged:
        raise UserError(
            f"the disk does not return what was written to '{plan.part}' for {len(damaged)} images "
            f"(the first: '{damaged[0]}'): check the disk, or choose another folder"
        )
    os.replace(plan.part, plan.path)
    folder = os.open(plan.path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
