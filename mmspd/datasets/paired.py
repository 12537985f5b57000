"""Base of the datasets that pair a blurry image with its sharp one."""

import logging
from abc import abstractmethod
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from mmspd.datasets.image_io import images_by_stem, list_names
from mmspd.datasets.packs.pack import PIXELS, Pack, PairPlace, read_pack
from mmspd.datasets.records import read_severities
from mmspd.datasets.samplers import SampleIndex, seeded
from mmspd.errors import UserError

__all__ = ['RAW', 'Pair', 'PairedImageDataset', 'match_pairs']

#: Value of ``packed`` with which the image files themselves are read.
RAW = 'raw'


class Pair(NamedTuple):
    """A blurry image and its sharp one.

    Args:
        key: Name that is unique within the dataset.
        blur: The blurry image's file.
        sharp: The sharp image's file.
        severity: Severity of the blur where it is recorded, else ``None``.
        place: Where the pixels are in a pack; ``None`` where the files are read.
    """

    key: str
    blur: Path
    sharp: Path
    severity: Optional[str] = None
    place: Optional[PairPlace] = None


class PairedImageDataset(BaseDataset):
    """Pairs of image files, found by :meth:`find_pairs` and processed by a pipeline.

    A sample enters the pipeline as a dict of ``img_path`` (blurry), ``gt_path`` (sharp), ``key``,
    ``severity`` (``None`` where not recorded), ``place`` (in a pack, else ``None``),
    ``sample_idx`` and ``epoch``.

    An index from :class:`~mmspd.datasets.samplers.SeededSampler` seeds ``random``, ``numpy.random``
    and torch from (seed, epoch, place in the epoch) while its sample is made, and restores them
    afterwards: the number and persistence of workers, restarts and the other samples change
    nothing. A plain ``int`` uses the random state of its process.

    Args:
        data_root: Folder of the data set.
        records: File that tells the severity of each pair, a JSON object of ``key`` and
            ``severity`` per line; ``None`` where nothing is recorded.
        packed: ``'raw'``, or nothing, to read the image files; or a pack made by
            ``tools/dataset_converters/pack.py``, or the folder it is in under the name that the
            dataset's choices give it. The samples are the same; ``data_root`` may be absent then.
        **common: Arguments of MMEngine's ``BaseDataset``: ``pipeline``, ``indices`` (keep the
            first, or last if negative, so many pairs, or the pairs listed), ``test_mode`` or
            ``lazy_init`` (scan the folder at the first use instead of now).

    Raises:
        UserError: A folder is missing or empty, images have no partner, ``indices`` is empty,
            the records cannot be read or are those of other pairs, or the pack is missing, damaged
            or one of other data.
    """

    #: Environment variable that the shipped configs read ``data_root`` from.
    ROOT_VARIABLE = ''
    #: Kind of the data, and the arguments that decide which pairs of ``data_root`` these are.
    LAYOUT = ''
    CHOICES: Tuple[str, ...] = ()
    #: Number of pairs of each split that the authors published.
    OFFICIAL_PAIRS: Dict[str, int] = {}

    def __init__(
        self, data_root: str, records: Optional[str] = None, packed: str = RAW, **common: Any
    ) -> None:
        indices = common.get('indices')
        if indices is not None and not indices:
            raise UserError(f'indices={indices} keeps no pair: give a number or leave it out')
        self.records = records
        self.packed = packed or RAW
        super().__init__(data_root=str(data_root), **common)

    @abstractmethod
    def find_pairs(self) -> List[Pair]:
        """Find the pairs below ``data_root``, in a fixed order."""

    def choices(self) -> Dict[str, str]:
        """Return the layout and the choices that tell these pairs from others."""
        layout = self.LAYOUT or type(self).__name__
        choices = {name: getattr(self, name) for name in self.CHOICES}
        return {'layout': layout, **{name: value for name, value in choices.items() if value}}

    @property
    def is_official_set(self) -> bool:
        """Whether these are all pairs of an official split, by their number."""
        return len(self) == self.OFFICIAL_PAIRS.get(getattr(self, 'split', ''))

    @property
    def pack_options(self) -> str:
        """What the command that packs these pairs needs besides the folders."""
        return ''

    @property
    def pack_name(self) -> str:
        """Name of a pack of these pairs.

        Raises:
            UserError: The class does not say what tells its pairs from others.
        """
        if not self.LAYOUT:
            raise UserError(
                f'{type(self).__name__} cannot be packed: give the class a LAYOUT and CHOICES, as '
                'GoProDataset has them'
            )
        return '_'.join(self.choices().values()).replace('/', '-')

    def find_records(self) -> Optional[Path]:
        """Return the file of records that ``records`` names, if it names one."""
        return Path(self.records).expanduser() if self.records else None

    def list_pairs(self) -> List[Pair]:
        """Return the pairs, from the folders or the pack, with the severities on record."""
        pairs = self.find_pairs() if self.packed == RAW else self._pairs_of(self._open_pack())
        records = self.find_records()
        severities = read_severities(records) if records else {}
        if severities and severities.keys().isdisjoint(pair.key for pair in pairs):
            raise UserError(
                f"the records in '{records}' are of other pairs (the first is "
                f"'{next(iter(severities))}', the data has '{pairs[0].key}'): correct records in "
                'the config, or make them again with tools/analysis/severity.py'
            )
        return [pair._replace(severity=severities.get(pair.key, pair.severity)) for pair in pairs]

    def load_data_list(self) -> List[Dict[str, Any]]:
        """Turn the pairs into the dicts that enter the pipeline."""
        pairs = self.list_pairs()
        place = pairs[0].place
        source = f", read from '{place.path}'" if place else ''
        choices = ''.join(f", {name}='{value}'" for name, value in self.choices().items())
        print_log(
            f"{type(self).__name__}: {len(pairs)} pairs of '{self.data_root}'{choices}{source}",
            'current',
            logging.INFO,
        )
        return [
            dict(
                img_path=str(pair.blur),
                gt_path=str(pair.sharp),
                key=pair.key,
                severity=pair.severity,
                place=pair.place,
            )
            for pair in pairs
        ]

    def _open_pack(self) -> Pack:
        """Open the pack of exactly these pairs."""
        path = Path(self.packed).expanduser()
        if path.is_file():
            raise UserError(
                f"packed='{path}' is a file, and a pack is a folder: make the pack again with "
                'tools/dataset_converters/pack.py, and give its folder or the one it is in'
            )
        if not (path / PIXELS).is_file():
            path /= self.pack_name
        if not path.is_dir():
            raise UserError(
                f"there is no pack '{path}': make it with python tools/dataset_converters/pack.py "
                f"{self.data_root} {path.parent}{self.pack_options}, or set packed='{RAW}' "
                '(MMSPD_PACKED=raw) to read the images'
            )
        pack = read_pack(path)
        if pack.choices != self.choices():
            raise UserError(
                f"the pack '{path}' holds {pack.choices}, but the config asks for "
                f'{self.choices()}: correct packed, or give it the folder of the packs'
            )
        root, pairs = Path(self.data_root).expanduser(), pack.pairs
        # equal choices do not distinguish two folders of the same layout, lengths of files do
        checked = (pairs[0], pairs[len(pairs) // 2], pairs[-1]) if root.is_dir() else ()
        for image in (image for pair in checked for image in pair.images):
            file = root / image.file
            if not file.is_file() or file.stat().st_size != image.size:
                raise UserError(
                    f"the pack '{path}' was not made from '{self.data_root}' as it is, "
                    f"'{image.file}' differs: pack it again, or correct data_root or packed"
                )
        return pack

    def _pairs_of(self, pack: Pack) -> List[Pair]:
        """Return the pairs of a pack as the folders would give them."""
        root = Path(self.data_root).expanduser()
        return [
            Pair(
                pair.key,
                root / pair.images[0].file,
                root / pair.images[-1].file,
                pair.severity,
                pack.place(pair),
            )
            for pair in pack.pairs
        ]

    def __getitem__(self, idx: int) -> Any:
        """Make a sample; see the class for what seeds it."""
        if not isinstance(idx, SampleIndex):
            return super().__getitem__(idx)
        with seeded(idx.seed, idx.epoch, idx.draw):
            return super().__getitem__(idx)

    def prepare_data(self, idx: int) -> Any:
        """Run the pipeline on a pair.

        Raises:
            UserError: The pipeline failed; the message names the file.
        """
        info = self.get_data_info(int(idx))
        info['epoch'] = getattr(idx, 'epoch', 0)
        path = info['img_path']
        try:
            return self.pipeline(info) if self.packed == RAW else self._run_on_pack(info)
        except UserError:
            raise
        except Exception as error:
            reason = self._too_small(info) or f'{type(error).__name__}: {error}'
            raise UserError(f"cannot prepare the pair of '{path}': {reason}") from error

    def _run_on_pack(self, results: Any) -> Any:
        """Run the pipeline such that only crops see a pack's pixels, all others copies of them."""
        for step in self.pipeline.transforms:
            if not hasattr(step, 'gt_patch_size'):
                _own_pixels(results)
            results = step(results)
            if results is None:
                return None
        _own_pixels(results)
        return results

    def _too_small(self, info: Dict[str, Any]) -> Optional[str]:
        """Say that the image is smaller than the crop, where that is what went wrong."""
        crops = [getattr(step, 'gt_patch_size', 0) for step in self.pipeline.transforms]
        height, width = info.get('ori_img_shape', (0, 0))[:2]
        if not height or min(height, width) >= max(crops, default=0):
            return None
        return (
            f'the image is {width}x{height}, smaller than the training crop of {max(crops)} '
            "pixels; lower the pipeline's gt_patch_size or remove the image"
        )

    def check_root(self, *below: str) -> Path:
        """Return ``data_root``, or a folder below it, once it is known to hold something.

        Raises:
            UserError: It does not exist or is empty.
        """
        root = Path(self.data_root).expanduser()
        cure = f'set the environment variable {self.ROOT_VARIABLE}, or data_root in the config'
        if not root.is_dir():
            raise UserError(f"the data folder '{root}' does not exist: {cure}")
        folder = root.joinpath(*below)
        if not folder.is_dir():
            raise UserError(
                f"the data folder '{root}' has no folder '{'/'.join(below)}' "
                f'(it holds {list_names(root)}): {cure}'
            )
        if not any(folder.iterdir()):
            raise UserError(f"the data folder '{folder}' is empty: {cure}")
        return folder


def _own_pixels(results: Any) -> None:
    """Copy the images that are a pack's memory, which nobody may write and no tensor may share."""
    for key in ('img', 'gt') if isinstance(results, dict) else ():
        image = results.get(key)
        if isinstance(image, np.ndarray) and not image.flags.writeable:
            results[key] = image.copy()


def match_pairs(blur_dir: Path, sharp_dir: Path, prefix: str = '') -> List[Pair]:
    """Pair the images of two folders by their relative names without suffix.

    Args:
        blur_dir: Existing folder of blurry images, searched at any depth.
        sharp_dir: Existing folder of sharp images, searched at any depth.
        prefix: Put before the name to make the key.

    Returns:
        The pairs, sorted by name.

    Raises:
        UserError: A folder holds no image, or an image has no partner.
    """
    blur, sharp = images_by_stem(blur_dir), images_by_stem(sharp_dir)
    for folder, images in ((blur_dir, blur), (sharp_dir, sharp)):
        if not images:
            raise UserError(f"there is no image in '{folder}' (it holds {list_names(folder)})")
    unpaired = [str(blur[stem]) for stem in blur if stem not in sharp]
    unpaired += [str(sharp[stem]) for stem in sharp if stem not in blur]
    if unpaired:
        names = ', '.join(unpaired[:3]) + (', ...' if len(unpaired) > 3 else '')
        raise UserError(
            f"{len(unpaired)} images in '{blur_dir}' and '{sharp_dir}' have no partner of the same "
            f'name ({names}): add the partners or remove these files'
        )
    return [Pair(prefix + stem, blur[stem], sharp[stem]) for stem in blur]
