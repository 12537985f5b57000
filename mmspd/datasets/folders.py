"""Dataset of pairs in two folders: blurry images in one, sharp images in the other."""

from pathlib import PurePath
from typing import Any, List

from mmspd.datasets.image_io import list_names
from mmspd.datasets.paired import Pair, PairedImageDataset, match_pairs
from mmspd.errors import UserError
from mmspd.registry import DATASETS

__all__ = ['PairedFolderDataset']


@DATASETS.register_module()
class PairedFolderDataset(PairedImageDataset):
    """Reads the pairs ``<data_root>/<blur_dir>/NAME`` and ``<data_root>/<sharp_dir>/NAME``.

    Two images form a pair if their names without suffix are equal. ``NAME`` may contain
    sub-folders. MPRNet, NAFNet and Restormer use the folders ``input`` and ``target``; MIMO-UNet
    uses ``blur`` and ``sharp``.

    Args:
        data_root: Folder of the data set.
        blur_dir: Folder of the blurry images, relative to ``<data_root>/<split>``.
        sharp_dir: Folder of the sharp images, relative to ``<data_root>/<split>``.
        split: Sub-folder of ``data_root`` that contains ``blur_dir`` and ``sharp_dir``; ``''`` if
            ``data_root`` itself contains them.
        **common: Arguments of :class:`PairedImageDataset`.

    Raises:
        UserError: A folder is missing or empty, or an image has no partner.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from mmspd.datasets import PairedFolderDataset
        >>> from mmspd.datasets.image_io import write_png
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for folder in ('input', 'target'):
        ...         for name in ('cat.png', 'trip/dog.png'):
        ...             write_png(Path(root, folder, name), np.zeros((32, 48, 3), np.uint8))
        ...     dataset = PairedFolderDataset(root, 'input', 'target', lazy_init=True)
        ...     [pair.key for pair in dataset.find_pairs()]
        ['cat', 'trip/dog']
    """

    ROOT_VARIABLE = 'PAIRS_ROOT'
    LAYOUT = 'pairs'
    CHOICES = ('blur_dir', 'sharp_dir')

    def __init__(
        self,
        data_root: str,
        blur_dir: str = 'input',
        sharp_dir: str = 'target',
        split: str = '',
        **common: Any,
    ) -> None:
        self.blur_dir = PurePath(split, blur_dir).as_posix()
        self.sharp_dir = PurePath(split, sharp_dir).as_posix()
        super().__init__(data_root, **common)

    def find_pairs(self) -> List[Pair]:
        """Return the pairs of the two folders, sorted by name."""
        root = self.check_root()
        for key in ('blur_dir', 'sharp_dir'):
            folder = root / getattr(self, key)
            if not folder.is_dir():
                raise UserError(
                    f"'{root}' has no folder '{getattr(self, key)}' (it holds "
                    f'{list_names(root)}); set {key} in the config.'
                )
        return match_pairs(root / self.blur_dir, root / self.sharp_dir)
