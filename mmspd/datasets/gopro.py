"""The GoPro data set as its authors distribute it."""

from pathlib import Path
from typing import Any, List, Optional

from mmspd.datasets.image_io import list_names
from mmspd.datasets.paired import Pair, PairedImageDataset, match_pairs
from mmspd.datasets.records import RECORDS_NAME
from mmspd.errors import UserError
from mmspd.registry import DATASETS

__all__ = ['GoProDataset']


@DATASETS.register_module()
class GoProDataset(PairedImageDataset):
    """GOPRO_Large, or any data in its layout, as it is unpacked.

    The layout is ``<data_root>/<split>/<sequence>/{blur,blur_gamma,sharp}/NNNNNN.png``; a pair's
    key is ``<sequence>/NNNNNN``.

    Args:
        data_root: Folder that holds ``train`` and ``test``.
        split: ``'train'``, ``'test'`` or another folder of ``data_root``.
        blur_key: ``'blur'``, frames averaged as they are, which nearly all published results use,
            or ``'blur_gamma'``, averaged in linear light, the input of DeepDeblur. Results on the
            two cannot be compared.
        **common: Arguments of :class:`PairedImageDataset`; ``records`` is by default the
            ``records.jsonl`` of the split, where there is one.

    Raises:
        UserError: A folder is missing or empty, or frames have no partner.

    Source: Nah et al., "Deep Multi-scale Convolutional Neural Network for Dynamic Scene
    Deblurring", CVPR 2017.
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
            raise UserError(f"blur_key is 'blur' or 'blur_gamma', not '{blur_key}'")
        self.split = split
        self.blur_key = blur_key
        super().__init__(data_root, **common)

    @property
    def is_official_set(self) -> bool:
        """Whether these are all pairs of an official split, with the blur that results use."""
        return self.blur_key == 'blur' and super().is_official_set

    @property
    def pack_options(self) -> str:
        """Name the blur."""
        return f' --blur-key {self.blur_key}'

    def find_pairs(self) -> List[Pair]:
        """Find the pairs of every sequence of the split, by sequence and frame."""
        split = self.check_root(self.split)
        sequences = sorted(
            path for path in split.iterdir() if path.is_dir() and not path.name.startswith('.')
        )
        if not sequences:
            raise UserError(
                f"'{split}' has no sequence folder (it holds {list_names(split)}); "
                f'expected {split.name}/<sequence>/{self.blur_key}/*.png'
            )
        pairs: List[Pair] = []
        for sequence in sequences:
            for name in (self.blur_key, 'sharp'):
                if (sequence / name).is_dir():
                    continue
                other = 'blur' if name == 'blur_gamma' else 'blur_gamma'
                cure = 'expected the layout of GOPRO_Large'
                if name != 'sharp' and (sequence / other).is_dir():
                    cure = f"set blur_key='{other}', or unpack the data set again"
                raise UserError(
                    f"'{sequence}' has no folder '{name}' (it holds {list_names(sequence)}): {cure}"
                )
            prefix = sequence.name + '/'
            pairs += match_pairs(sequence / self.blur_key, sequence / 'sharp', prefix)
        return pairs

    def find_records(self) -> Optional[Path]:
        """Return the file that ``records`` names, else the one in the split, if there is one."""
        default = Path(self.data_root, self.split, RECORDS_NAME).expanduser()
        return super().find_records() or (default if default.is_file() else None)
