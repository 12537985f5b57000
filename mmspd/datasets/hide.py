"""Dataset that reads HIDE as its authors distribute it."""

from pathlib import Path
from typing import Any, List

from mmspd.datasets.image_io import images_by_stem, list_names
from mmspd.datasets.paired import Pair, PairedImageDataset
from mmspd.errors import UserError
from mmspd.registry import DATASETS

__all__ = ['HIDEDataset']


@DATASETS.register_module()
class HIDEDataset(PairedImageDataset):
    """Reads the pairs of HIDE.

    The blurry images are below ``<data_root>/<split>``, the sharp images in ``<data_root>/GT``. A
    blurry image and its sharp image have the same file name. The test split has 2025 blurry images
    in two folders, close-ups and long shots. The key of a pair is ``<folder>/<name>``, so that
    results on close-ups and long shots can be separated.

    Source: Shen et al., "Human-aware Motion Deblurring", ICCV 2019.

    Args:
        data_root: Folder that contains ``train``, ``test`` and ``GT``.
        split: ``'test'`` or ``'train'``.
        **common: Arguments of :class:`PairedImageDataset`.

    Raises:
        UserError: A folder is missing or empty, or a blurry image has no sharp image.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from mmspd.datasets import HIDEDataset
        >>> from mmspd.datasets.image_io import write_png
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for folder in ('test/test-close-ups', 'GT'):
        ...         path = Path(root, folder, '10fromGOPR0958.png')
        ...         write_png(path, np.zeros((32, 48, 3), np.uint8))
        ...     dataset = HIDEDataset(root, split='test', lazy_init=True)
        ...     [pair.key for pair in dataset.find_pairs()]
        ['test-close-ups/10fromGOPR0958']
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
        """Return the pairs of the split, sorted by key."""
        split, sharp_dir = self.check_root(self.split), self.check_root('GT')
        # GT contains the sharp images of both splits
        sharp = {Path(stem).name: path for stem, path in images_by_stem(sharp_dir).items()}
        blur = images_by_stem(split)
        if not blur:
            raise UserError(
                f"'{split}' has no image (it holds {list_names(split)}); unpack HIDE again or set "
                f'{self.ROOT_VARIABLE}.'
            )
        unpaired = [str(path) for stem, path in blur.items() if Path(stem).name not in sharp]
        if unpaired:
            raise UserError(
                f"{len(unpaired)} images in '{split}' have no sharp image of the same name in "
                f"'{sharp_dir}' (first {unpaired[0]}); unpack HIDE again."
            )
        return [Pair(stem, path, sharp[Path(stem).name]) for stem, path in blur.items()]
