"""The HIDE data set as its authors distribute it."""

from pathlib import Path
from typing import Any, List

from mmspd.datasets.image_io import images_by_stem, list_names
from mmspd.datasets.paired import Pair, PairedImageDataset
from mmspd.errors import UserError
from mmspd.registry import DATASETS

__all__ = ['HIDEDataset']


@DATASETS.register_module()
class HIDEDataset(PairedImageDataset):
    """HIDE: blurry images below ``<data_root>/<split>``, sharp ones in ``<data_root>/GT``.

    The test split holds close-ups and long shots in folders of their own, 2025 in all; every image
    finds its sharp one by file name. A pair's key is ``<folder>/<name>``, so results can be told
    apart by shot.

    Args:
        data_root: Folder that holds ``train``, ``test`` and ``GT``.
        split: ``'test'`` or ``'train'``.
        **common: Arguments of :class:`PairedImageDataset`.

    Raises:
        UserError: A folder is missing or empty, or an image has no sharp one.

    Source: Shen et al., "Human-aware Motion Deblurring", ICCV 2019.
    """

    ROOT_VARIABLE = 'HIDE_ROOT'
    LAYOUT = 'hide'
    CHOICES = ('split',)
    OFFICIAL_PAIRS = dict(train=6397, test=2025)

    def __init__(
        self,
        data_root: str,
        split: str = 'test',
        **common: Any,
    ) -> None:
        self.split = split
        super().__init__(data_root, **common)

    def find_pairs(self) -> List[Pair]:
        """Find the pairs of the split, sorted by key."""
        split, sharp_dir = self.check_root(self.split), self.check_root('GT')
        # GT is shared by both splits, so it holds more than this one needs
        sharp = {Path(stem).name: path for stem, path in images_by_stem(sharp_dir).items()}
        blur = images_by_stem(split)
        if not blur:
            raise UserError(f"there is no image in '{split}' (it holds {list_names(split)})")
        unpaired = [str(path) for stem, path in blur.items() if Path(stem).name not in sharp]
        if unpaired:
            raise UserError(
                f"{len(unpaired)} images in '{split}' have no sharp image of the same name in "
                f"'{sharp_dir}' (first {unpaired[0]}): unpack the data set again"
            )
        return [Pair(stem, path, sharp[Path(stem).name]) for stem, path in blur.items()]
