"""Base class of the datasets of blurry and sharp image pairs."""

import logging
from abc import abstractmethod
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from mmspd.datasets.image_io import list_names
from mmspd.datasets.packs.pack import PIXELS, Pack, PairPlace, read_pack
from mmspd.datasets.pair_names import ANY_NAME, ImagePlace, sort_images, unpaired_images
from mmspd.datasets.records import read_severities
from mmspd.datasets.samplers import SampleIndex, seeded
from mmspd.errors import UserError
from mmspd.utils.deferred import DeferredPair

__all__ = ['LIST_NAME', 'RAW', 'Pair', 'PairedImageDataset', 'match_pairs']

#: File that lists pairs; see :class:`~mmspd.datasets.pair_list.PairListDataset`.
LIST_NAME = 'pairs.txt'

#: Value of ``packed`` for reading the image files instead of a pack.
RAW = 'raw'


class Pair(NamedTuple):
    """The files of a blurry image and its sharp image.

    Attributes:
        key: Unique name of the pair within the dataset.
        blur: File of the blurry image.
        sharp: File of the sharp image.
        severity: Recorded severity of the blur; ``None`` if it is not recorded.
        place: Location of the pixels in a pack; ``None`` if the image files are read.
    """

    key: str
    blur: Path
    sharp: Path
    severity: Optional[str] = None
    place: Optional[PairPlace] = None


class PairedImageDataset(BaseDataset):
    """Base class of datasets of image pairs: a subclass finds the pairs, a pipeline loads them.

    The pipeline receives a dict with ``img_path`` (blurry), ``gt_path`` (sharp), ``key``,
    ``severity`` (``None`` if it is not recorded), ``place`` (the location in a pack; ``None``
    without a pack), ``sample_idx`` and ``epoch``.

    An index from :class:`~mmspd.datasets.samplers.SeededSampler` seeds ``random``, ``numpy.random``
    and torch with (seed, epoch, draw) while the sample is made. The random states are restored
    afterwards. Therefore a sample does not depend on the number of workers, on restarts or on
    other samples. With a plain ``int`` index, a sample uses the current random states.

    Args:
        data_root: Folder of the data set.
        records: File with the recorded severities, or ``None``. Each line is a JSON object with the
            ``key`` and the ``severity`` of a pair.
        packed: ``'raw'``, ``None`` or ``''`` to read the image files. Otherwise a pack made by
            ``tools/dataset_converters/pack.py``, or the folder that contains the pack under its
            default name. A pack gives the same samples as the image files. With a pack,
            ``data_root`` need not exist.
        **common: Arguments of MMEngine's ``BaseDataset``: ``pipeline``, ``test_mode``, ``indices``
            (``n`` selects the first n pairs, ``-n`` the last n pairs, a list selects the pairs at
            these indices) and ``lazy_init`` (``True`` delays the scan of the folder until the first
            use).

    Raises:
        UserError: A folder is missing or empty, an image has no partner, ``indices`` is empty,
            the records cannot be read or belong to other pairs, or the pack is missing, damaged
            or made from other data.

    Examples:
        >>> from pathlib import Path
        >>> from mmspd.datasets.paired import Pair, PairedImageDataset
        >>> class Numbered(PairedImageDataset):
        ...     def find_pairs(self):
        ...         root = Path(self.data_root)
        ...         return [Pair(f'{n}', root / f'{n}_blur.png', root / f'{n}.png') for n in (1, 2)]
        >>> [pair.key for pair in Numbered('photos', lazy_init=True).list_pairs()]
        ['1', '2']
    """

    #: Environment variable that the configs use for ``data_root``.
    ROOT_VARIABLE = ''
    #: Name of the layout. The layout and the values of ``CHOICES`` identify the pairs of a pack.
    LAYOUT = ''
    #: Names of the attributes that select the pairs within ``data_root``.
    CHOICES: Tuple[str, ...] = ()
    #: Number of pairs in each official split.
    OFFICIAL_PAIRS: Dict[str, int] = {}

    def __init__(
        self, data_root: str, records: Optional[str] = None, packed: str = RAW, **common: Any
    ) -> None:
        indices = common.get('indices')
        if indices is not None and not indices:
            raise UserError(
                f'indices={indices} selects no pair; give a number other than 0 or remove indices.'
            )
        self.records = records
        self.packed = packed or RAW
        super().__init__(data_root=str(data_root), **common)

    @abstractmethod
    def find_pairs(self) -> List[Pair]:
        """Return the pairs below ``data_root``, in a fixed order."""

    def choices(self) -> Dict[str, str]:
        """Return a dict with the layout and the non-empty arguments that select the pairs."""
        layout = self.LAYOUT or type(self).__name__
        choices = {name: getattr(self, name) for name in self.CHOICES}
        return {'layout': layout, **{name: value for name, value in choices.items() if value}}

    @property
    def is_official_set(self) -> bool:
        """Whether the number of pairs equals the number of pairs in the official split."""
        return len(self) == self.OFFICIAL_PAIRS.get(getattr(self, 'split', ''))

    @property
    def pack_options(self) -> str:
        """Options of ``pack.py`` that select these pairs, with a leading space."""
        return ''

    @property
    def pack_name(self) -> str:
        """Default name of a pack of these pairs.

        Raises:
            UserError: The class has no ``LAYOUT``.
        """
        if not self.LAYOUT:
            raise UserError(
                f'{type(self).__name__} has no LAYOUT and cannot be packed; define LAYOUT and '
                'CHOICES in the class (example: GoProDataset).'
            )
        return '_'.join(self.choices().values()).replace('/', '-').replace(ANY_NAME, '')

    def find_records(self) -> Optional[Path]:
        """Return the path of the file ``records``, or ``None`` if there are no records."""
        return Path(self.records).expanduser() if self.records else None

    def list_pairs(self) -> List[Pair]:
        """Return the pairs of the folders or of the pack, with their recorded severities.

        Raises:
            UserError: The pairs, the pack or the records cannot be read.
        """
        pairs = self.find_pairs() if self.packed == RAW else self._pairs_of(self._open_pack())
        records = self.find_records()
        severities = read_severities(records) if records else {}
        if severities and severities.keys().isdisjoint(pair.key for pair in pairs):
            raise UserError(
                f"The records in '{records}' belong to other pairs (first record "
                f"'{next(iter(severities))}', first pair '{pairs[0].key}'); set records in the "
                'config to the file of this data set, or make this file with '
                'mmspd data severity.'
            )
        return [pair._replace(severity=severities.get(pair.key, pair.severity)) for pair in pairs]

    def load_data_list(self) -> List[Dict[str, Any]]:
        """Return the dicts for the pipeline and log the number of pairs."""
        pairs = self.list_pairs()
        place = pairs[0].place
        source = f", read from '{place.path}'" if place else ''
        choices = ''.join(f", {name}='{value}'" for name, value in self.choices().items())
        print_log(
            f"{type(self).__name__} has {len(pairs)} pairs of '{self.data_root}'{choices}{source}.",
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
        """Open the pack and check that it was made from these pairs."""
        path = Path(self.packed).expanduser()
        if path.is_file():
            raise UserError(
                f"packed='{path}' is a file, but a pack is a folder; make the pack again with "
                'mmspd pack and set packed to that folder or its parent.'
            )
        if not (path / PIXELS).is_file():
            path /= self.pack_name
        if not path.is_dir():
            raise UserError(
                f"The pack '{path}' does not exist; make it with mmspd pack "
                f'{self.data_root} {path.parent}'
                f"{self.pack_options}, or set packed='{RAW}' (MMSPD_PACKED=raw) to read the images."
            )
        pack = read_pack(path)
        if pack.choices != self.choices():
            raise UserError(
                f"The pack '{path}' contains {pack.choices}, but the config selects "
                f'{self.choices()}; set packed to the folder that contains the pack of this '
                'selection.'
            )
        root, pairs = Path(self.data_root).expanduser(), pack.pairs
        # different data sets may have equal choices, so compare the file sizes of three pairs
        checked = (pairs[0], pairs[len(pairs) // 2], pairs[-1]) if root.is_dir() else ()
        for image in (image for pair in checked for image in pair.images):
            file = root / image.file
            if not file.is_file() or file.stat().st_size != image.size:
                raise UserError(
                    f"'{image.file}' in '{self.data_root}' differs from the image in the pack "
                    f"'{path}'; pack the data again, or correct data_root or packed."
                )
        return pack

    def _pairs_of(self, pack: Pack) -> List[Pair]:
        """Return the pairs of a pack, with the paths of their image files."""
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
        """Return a sample. If the index is a ``SampleIndex``, first seed the random states."""
        if not isinstance(idx, SampleIndex):
            return super().__getitem__(idx)
        with seeded(idx.seed, idx.epoch, idx.draw):
            return super().__getitem__(idx)

    def prepare_data(self, idx: int) -> Any:
        """Run the pipeline on a pair.

        Args:
            idx: Index of the pair.

        Returns:
            The output of the pipeline.

        Raises:
            UserError: The pipeline failed. The message names the file.
        """
        info = self.get_data_info(int(idx))
        info['epoch'] = getattr(idx, 'epoch', 0)
        path = info['img_path']
        try:
            return self.pipeline(info) if self.packed == RAW else self._run_on_pack(info)
        except UserError:
            raise
        except Exception as error:
            failure = (
                f"Cannot prepare the pair of '{path}' ({type(error).__name__}: {error}); check the "
                'pipeline in the config.'
            )
            if isinstance(info.get('img'), DeferredPair):
                failure = (
                    f"'{path}' is blurred or flipped on the device, but the next transform needs "
                    f'its images ({type(error).__name__}); after a transform with on_device=True, '
                    'use only mmspd.FlipAndTranspose and PackInputs.'
                )
            raise UserError(self._too_small(info) or failure) from error

    def _run_on_pack(self, results: Any) -> Any:
        """Run the pipeline on the pixels of a pack.

        Crop transforms get the pack's read-only pixels. The other transforms get copies.
        """
        for step in self.pipeline.transforms:
            if not hasattr(step, 'gt_patch_size'):
                _own_pixels(results)
            results = step(results)
            if results is None:
                return None
        _own_pixels(results)
        return results

    def _too_small(self, info: Dict[str, Any]) -> Optional[str]:
        """Return the message for an image that is smaller than the crop, else ``None``."""
        crops = [getattr(step, 'gt_patch_size', 0) for step in self.pipeline.transforms]
        height, width = info.get('ori_img_shape', (0, 0))[:2]
        if not height or min(height, width) >= max(crops, default=0):
            return None
        return (
            f"'{info['img_path']}' is {width}x{height} pixels, smaller than the training crop of "
            f'{max(crops)}; lower gt_patch_size in the pipeline or leave the image out.'
        )

    def check_root(self, *below: str) -> Path:
        """Check that ``data_root``, or a folder below it, exists and is not empty.

        Args:
            below: Names of nested folders below ``data_root``.

        Returns:
            The folder.

        Raises:
            UserError: The folder does not exist or is empty.
        """
        root = Path(self.data_root).expanduser()
        fix = f'set data_root in the config (most recipes read it from {self.ROOT_VARIABLE})'
        if not root.is_dir():
            raise UserError(f"The data folder '{root}' does not exist; {fix}.")
        folder = root.joinpath(*below)
        fix = f"put the images into '{folder}', or {fix}"
        if not folder.is_dir():
            raise UserError(
                f"The data folder '{root}' has no folder '{'/'.join(below)}' "
                f'(it holds {list_names(root)}); {fix}.'
            )
        if not any(folder.iterdir()):
            raise UserError(f"The data folder '{folder}' is empty; {fix}.")
        return folder


def _own_pixels(results: Any) -> None:
    """Replace read-only images with copies, because no tensor may share memory with a pack."""
    for key in ('img', 'gt') if isinstance(results, dict) else ():
        image = results.get(key)
        if isinstance(image, np.ndarray) and not image.flags.writeable:
            results[key] = image.copy()


def match_pairs(blur: ImagePlace, sharp: ImagePlace, prefix: str = '') -> List[Pair]:
    """Pair the images of two places. Partners have equal keys.

    Images that fit no template are not used; a warning names them.

    Args:
        blur: The place of the blurry images.
        sharp: The place of the sharp images.
        prefix: Text before the name in each key.

    Returns:
        The pairs, sorted by name.

    Raises:
        UserError: A place has no image, or an image has no partner.
    """
    (blurry, target), unused = sort_images([blur, sharp])
    for place, images in ((blur, blurry), (sharp, target)):
        if not images:
            fitting = '' if place.template == ANY_NAME else f" that fits '{place.template}'"
            raise UserError(
                f"'{place.folder}' has no image{fitting} (it holds {list_names(place.folder)}); "
                'copy the images into it or correct the path or the template in the config.'
            )
    unpaired = unpaired_images([blurry, target])
    if unpaired:
        names = ', '.join(map(str, unpaired[:3])) + (', ...' if len(unpaired) > 3 else '')
        raise UserError(
            f"{len(unpaired)} images in '{blur.folder}' and '{sharp.folder}' have no partner "
            f'({names}); add the partners, set blur_template and sharp_template of '
            f'mmspd.PairedFolderDataset to pair other names, or list the pairs to use in a file '
            f'{LIST_NAME} for mmspd.PairListDataset.'
        )
    if unused:
        print_log(
            f"{len(unused)} images fit neither '{blur.template}' nor '{sharp.template}' and are "
            f'not used (first {unused[0]}).',
            'current',
            logging.WARNING,
        )
    return [Pair(prefix + key, blurry[key], target[key]) for key in blurry]
