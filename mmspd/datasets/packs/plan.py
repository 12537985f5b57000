"""The plan of a pack (:mod:`mmspd.datasets.packs.pack`), and the room it needs."""

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import List, Optional, Sequence, Tuple, Union

from mmspd.datasets.image_io import read_size
from mmspd.datasets.packs.pack import ALIGNMENT, PackedImage, PackedPair, PackIndex, read_pack
from mmspd.datasets.paired import PairedImageDataset
from mmspd.errors import UserError
from mmspd.utils.parallel import map_in_processes
from mmspd.version import __version__

__all__ = ['PackPlan', 'check_space', 'plan_pack', 'refuse_space', 'unusable']

#: Stands for a checksum that is not known yet: no other is longer in the index.
_UNKNOWN = 2**32 - 1


@dataclass(frozen=True)
class PackPlan:
    """A pack to be made.

    Args:
        path: The file.
        index: What it will hold; the checksums are not known yet.
        complete: Whether the file is there and was made from the same images with the same choices.
    """

    path: Path
    index: PackIndex
    complete: bool

    @property
    def pixels_end(self) -> int:
        """First byte behind the images."""
        last = self.index.pairs[-1]
        return last.images[-1].offset + last.nbytes

    @property
    def nbytes(self) -> int:
        """Length of the pack in bytes, at most."""
        return self.pixels_end + len(self.index.to_json())

    @property
    def part(self) -> Path:
        """Name of the file while it is made."""
        return self.path.with_name(self.path.name + '.part')

    @property
    def journal(self) -> Path:
        """File that tells which pairs of the part are done."""
        return self.path.with_name(self.path.name + '.journal')


def plan_pack(
    dataset: PairedImageDataset, folder: Path, workers: int = 0, to_rgb: bool = False
) -> PackPlan:
    """Plan the pack of a dataset from the headers of its images; nothing is written.

    Args:
        dataset: Reads the image files.
        folder: Folder of the pack; its name is the dataset's ``pack_name``.
        workers: Processes that read headers at the same time; 0 is this one.
        to_rgb: Convert gray, alpha and 16-bit images to 8-bit RGB.

    Raises:
        UserError: An image cannot be read, the images of a pair differ in size, or the file holds
            the pack of another data set.
    """
    root = Path(dataset.data_root).expanduser()
    path, pairs = folder / dataset.pack_name, dataset.list_pairs()
    index = PackIndex(
        choices=dataset.choices(),
        source=str(root.resolve()),
        description=dataset.describe(),
        mmspd=__version__,
        to_rgb=to_rgb,
        pairs=[
            PackedPair(
                pair.key,
                pair.severity,
                height=0,
                width=0,
                blur=_source(root, pair.blur),
                sharp=_source(root, pair.sharp),
            )
            for pair in pairs
        ],
    )
    existing = _existing(path, index)
    if existing is not None:
        return PackPlan(path, existing, complete=True)
    return PackPlan(path, replace(index, pairs=_place(index, workers)), complete=False)


def check_space(plans: Sequence[PackPlan], folder: Path) -> None:
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
    # what an interrupted run has taken is used again
    taken = sum(plan.part.stat().st_blocks * 512 for plan in plans if plan.part.is_file())
    refuse_space(folder, needed, shutil.disk_usage(existing).free + taken)


def refuse_space(folder: Path, needed: int, free: int) -> None:
    """Raise an error unless there is enough room.

    Args:
        folder: Where the packs go.
        needed: Bytes.
        free: Bytes.

    Raises:
        UserError: There is not.
    """
    if needed > free:
        raise UserError(
            f"packing needs {needed:,} bytes in '{folder}', {free:,} are free: free some or choose "
            'another folder'
        )


def unusable(faults: Sequence[str], pairs: int, hint: str = '') -> UserError:
    """Return the error that names the first images that cannot be packed.

    Args:
        faults: A sentence for each image.
        pairs: Number of pairs looked at.
        hint: Added at the end.
    """
    more = f'; and {len(faults) - 3} more' if len(faults) > 3 else ''
    return UserError(
        f'{len(faults)} image{"s" if len(faults) > 1 else ""} of {pairs} pairs cannot be packed: '
        f'{"; ".join(faults[:3])}{more}' + hint
    )


def _source(root: Path, file: Path) -> PackedImage:
    """Describe an image file that has no place yet."""
    try:
        found = file.stat()
    except OSError as error:
        raise UserError(f"cannot read the image '{file}': {error.strerror}") from error
    return PackedImage(
        os.path.relpath(file, root), found.st_size, found.st_mtime_ns, offset=0, crc32=_UNKNOWN
    )


def _existing(path: Path, index: PackIndex) -> Optional[PackIndex]:
    """Return the index of the pack that is there if it is the wanted one."""
    if not path.is_file():
        return None
    try:
        found = read_pack(path).index
    except UserError:
        return None  # cut off or damaged: it is made anew
    if _sources(found) == _sources(index):
        return found
    if found.source != index.source:
        raise UserError(
            f"'{path}' holds the pack of another folder, '{found.source}': choose another output "
            'folder, or delete it'
        )
    return None


def _sources(index: PackIndex) -> tuple:
    """Return all that a pack depends on."""
    pairs = [
        (pair.key, pair.severity, *((i.file, i.size, i.mtime_ns) for i in pair.images))
        for pair in index.pairs
    ]
    return index.choices, index.to_rgb, pairs


def _place(index: PackIndex, workers: int) -> List[PackedPair]:
    """Read the sizes and give every image its place."""
    files = [Path(index.source, image.file) for pair in index.pairs for image in pair.images]
    found = dict(zip(files, map_in_processes(_measure, files, workers)))
    faults = [size for size in found.values() if isinstance(size, str)]
    end, placed = ALIGNMENT, []
    for pair in index.pairs:
        sizes = {image.file: found[Path(index.source, image.file)] for image in pair.images}
        if any(isinstance(size, str) for size in sizes.values()):
            continue
        if len(set(sizes.values())) > 1:
            named = ', '.join(f"'{file}' is {w}x{h}" for file, (h, w) in sizes.items())
            faults.append(f'a pair needs equal sizes, but {named}')
            continue
        pair = replace(pair, **dict(zip(('height', 'width'), sizes[pair.sharp.file])))
        step = -(-pair.nbytes // ALIGNMENT) * ALIGNMENT
        blur = replace(pair.blur, offset=end)
        sharp = replace(pair.sharp, offset=end + step) if len(pair.images) == 2 else blur
        placed.append(replace(pair, blur=blur, sharp=sharp))
        end += len(pair.images) * step
    if faults:
        raise unusable(faults, len(index.pairs))
    return placed


def _measure(file: Path) -> Union[Tuple[int, int], str]:
    """Return (H, W), or why the image cannot be read."""
    try:
        return read_size(file)
    except UserError as error:
        return str(error)
