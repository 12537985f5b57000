"""Any two folders of images that belong together."""

from typing import Callable, Dict, List, Optional, Sequence, Union

from mmspd.datasets.image_io import list_names
from mmspd.datasets.paired import RAW, Pair, PairedImageDataset, match_pairs
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
        pipeline: See :class:`PairedImageDataset`, also for the other arguments.
        indices: As there.
        test_mode: As there.
        lazy_init: As there.
        records: As there.
        packed: As there.

    Raises:
        UserError: A folder is missing or empty, or images have no partner.
    """

    ROOT_VARIABLE = 'PAIRS_ROOT'

    def __init__(
        self,
        data_root: str,
        blur_dir: str = 'input',
        sharp_dir: str = 'target',
        pipeline: Sequence[Union[dict, Callable]] = (),
        indices: Optional[Union[int, Sequence[int]]] = None,
        test_mode: bool = False,
        lazy_init: bool = False,
        records: Optional[str] = None,
        packed: str = RAW,
    ) -> None:
        self.blur_dir = blur_dir
        self.sharp_dir = sharp_dir
        super().__init__(data_root, pipeline, indices, test_mode, lazy_init, records, packed)

    def describe(self) -> str:
        """Name the two folders."""
        return f"'{self.blur_dir}' and '{self.sharp_dir}' of '{self.data_root}'"

    def choices(self) -> Dict[str, str]:
        """Return the choices above that tell these pairs from others."""
        return dict(layout='pairs', blur_dir=self.blur_dir, sharp_dir=self.sharp_dir)

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
