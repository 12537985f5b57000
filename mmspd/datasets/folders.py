"""Any two folders of images that belong together."""

from pathlib import PurePath
from typing import Any, List

from mmspd.datasets.image_io import list_names
from mmspd.datasets.paired import Pair, PairedImageDataset, match_pairs
from mmspd.errors import UserError
from mmspd.registry import DATASETS

__all__ = ['PairedFolderDataset']


@DATASETS.register_module()
class PairedFolderDataset(PairedImageDataset):
    """Pairs of ``<data_root>/<blur_dir>/NAME`` and ``<data_root>/<sharp_dir>/NAME``.

    Names match without their suffix and may contain sub-folders; sort order plays no part. The
    layouts ``input``/``target`` (MPRNet, NAFNet, Restormer) and ``blur``/``sharp`` (MIMO-UNet) are
    read as they are.

    Args:
        data_root: Folder that holds both.
        blur_dir: Folder of the blurry images, relative to ``data_root``.
        sharp_dir: Folder of the sharp images, relative to ``data_root``.
        split: Folder of ``data_root`` that both are in. By default there is none.
        **common: Arguments of :class:`PairedImageDataset`.

    Raises:
        UserError: A folder is missing or empty, or images have no partner.
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
        """Find the pairs of the two folders, sorted by name."""
        root = self.check_root()
        for key in ('blur_dir', 'sharp_dir'):
            folder = root / getattr(self, key)
            if not folder.is_dir():
                raise UserError(
                    f"'{root}' has no folder '{getattr(self, key)}' (it holds "
                    f'{list_names(root)}): set {key} in the config'
                )
        return match_pairs(root / self.blur_dir, root / self.sharp_dir)
