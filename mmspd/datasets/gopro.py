"""Dataset that reads GOPRO_Large as its authors distribute it."""

from pathlib import Path
from typing import Any, List, Optional

from mmspd.datasets.image_io import list_names
from mmspd.datasets.pair_names import ImagePlace
from mmspd.datasets.paired import Pair, PairedImageDataset, match_pairs
from mmspd.datasets.records import RECORDS_NAME
from mmspd.errors import UserError
from mmspd.registry import DATASETS
from mmspd.utils.walk import list_folder

__all__ = ['GoProDataset']


@DATASETS.register_module()
class GoProDataset(PairedImageDataset):
    """Reads the pairs of GOPRO_Large, or of other data in the layout of GOPRO_Large.

    The layout is ``<data_root>/<split>/<sequence>/{blur,blur_gamma,sharp}/NNNNNN.png``. The key of
    a pair is ``<sequence>/NNNNNN``.

    Source: Nah et al., "Deep Multi-scale Convolutional Neural Network for Dynamic Scene
    Deblurring", CVPR 2017.

    Args:
        data_root: Folder that contains ``train`` and ``test``.
        split: ``'train'``, ``'test'`` or another folder of ``data_root``.
        blur_key: ``'blur'`` or ``'blur_gamma'``. ``'blur'`` is the average of the frames' pixel
            values; nearly all published results use it. ``'blur_gamma'`` is the average in linear
            light; DeepDeblur uses it. Do not compare results on ``'blur'`` and ``'blur_gamma'``.
        **common: Arguments of :class:`PairedImageDataset`. The default of ``records`` is the
            file ``records.jsonl`` of the split, if that file exists.

    Raises:
        UserError: ``blur_key`` is unknown, a folder is missing or empty, or a frame has no
            partner.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from mmspd.datasets import GoProDataset
        >>> from mmspd.datasets.image_io import write_png
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for folder in ('blur', 'sharp'):
        ...         path = Path(root, 'train', 'GOPR0372_07_00', folder, '000047.png')
        ...         write_png(path, np.zeros((32, 48, 3), np.uint8))
        ...     dataset = GoProDataset(root, split='train', lazy_init=True)
        ...     [pair.key for pair in dataset.find_pairs()]
        ['GOPR0372_07_00/000047']
    """

    ROOT_VARIABLE = 'GOPRO_ROOT'
    LAYOUT = 'gopro'
    CHOICES = ('split', 'blur_key')
    OFFICIAL_PAIRS = dict(train=2103, test=1111)

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        blur_key: str = 'blur',
        **common: Any,
    ) -> None:
        if blur_key not in ('blur', 'blur_gamma'):
            raise UserError(f"blur_key='{blur_key}' is unknown; use 'blur' or 'blur_gamma'.")
        self.split = split
        self.blur_key = blur_key
        super().__init__(data_root, **common)

    @property
    def is_official_set(self) -> bool:
        """Whether the dataset is a complete official split with ``blur`` as its input."""
        return self.blur_key == 'blur' and super().is_official_set

    @property
    def pack_options(self) -> str:
        """Options of ``pack.py`` that select these pairs."""
        return f' --blur-key {self.blur_key}'

    def find_pairs(self) -> List[Pair]:
        """Return the pairs of the split, sorted by sequence and frame."""
        split = self.check_root(self.split)
        sequences = [path for path in map(Path, list_folder(split)) if path.is_dir()]
        if not sequences:
            raise UserError(
                f"'{split}' has no sequence folder (it holds {list_names(split)}); "
                f'arrange the images as {split.name}/<sequence>/{self.blur_key}/*.png.'
            )
        pairs: List[Pair] = []
        for sequence in sequences:
            for name in (self.blur_key, 'sharp'):
                if (sequence / name).is_dir():
                    continue
                other = 'blur' if name == 'blur_gamma' else 'blur_gamma'
                fix = 'arrange the images as in GOPRO_Large'
                if name != 'sharp' and (sequence / other).is_dir():
                    fix = f"set blur_key='{other}', or unpack the data set again"
                raise UserError(
                    f"'{sequence}' has no folder '{name}' (it holds {list_names(sequence)}); {fix}."
                )
            prefix = sequence.name + '/'
            blur, sharp = (ImagePlace(sequence / name) for name in (self.blur_key, 'sharp'))
            pairs += match_pairs(blur, sharp, prefix)
        return pairs

    def find_records(self) -> Optional[Path]:
        """Return the path of ``records`` or of the split's ``records.jsonl``, or ``None``."""
        default = Path(self.data_root, self.split, RECORDS_NAME).expanduser()
        return super().find_records() or (default if default.is_file() else None)
