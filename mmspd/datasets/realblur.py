"""Dataset that reads RealBlur as its authors distribute it."""

from pathlib import Path
from typing import Any, List

from mmspd.datasets.pair_list import PairListDataset
from mmspd.datasets.paired import Pair
from mmspd.errors import UserError
from mmspd.registry import DATASETS

__all__ = ['RealBlurDataset']


@DATASETS.register_module()
class RealBlurDataset(PairListDataset):
    """Reads the pairs of RealBlur-J or RealBlur-R from the list files of the data set.

    Each line of ``<data_root>/RealBlur_<subset>_<split>_list.txt`` names a sharp and a blurry
    image, relative to ``data_root``. The lists have 3758 pairs for training and 980 for testing.
    The key of a pair is ``<scene>/<blurry name>``.

    Source: Rim et al., "Real-World Blur Dataset for Learning and Benchmarking Deblurring
    Algorithms", ECCV 2020.

    Args:
        data_root: Folder that contains the list files and the image folders.
        subset: ``'J'`` for the camera's JPEG images, ``'R'`` for the images made from RAW.
        split: ``'train'`` or ``'test'``.
        **common: Arguments of :class:`PairedImageDataset`.

    Raises:
        UserError: ``subset`` is unknown, the list is missing or damaged, or a listed image is
            missing.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from mmspd.datasets import RealBlurDataset
        >>> from mmspd.datasets.image_io import write_png
        >>> names = ['J/scene001/gt/gt_9.png', 'J/scene001/blur/blur_9.png']
        >>> with tempfile.TemporaryDirectory() as root:
        ...     _ = Path(root, 'RealBlur_J_test_list.txt').write_text(' '.join(names))
        ...     for name in names:
        ...         write_png(Path(root, name), np.zeros((32, 48, 3), np.uint8))
        ...     dataset = RealBlurDataset(root, subset='J', split='test', lazy_init=True)
        ...     [pair.key for pair in dataset.find_pairs()]
        ['scene001/blur_9']
    """

    ROOT_VARIABLE = 'REALBLUR_ROOT'
    LAYOUT = 'realblur'
    CHOICES = ('subset', 'split')
    OFFICIAL_PAIRS = dict(train=3758, test=980)
    FIX_NO_LIST = 'copy the list files of RealBlur into this folder'
    FIX_LIST = 'download the list again'
    FIX_IMAGES = 'unpack RealBlur again'

    def __init__(
        self,
        data_root: str,
        subset: str = 'J',
        split: str = 'train',
        **common: Any,
    ) -> None:
        if subset not in ('J', 'R'):
            raise UserError(f"subset='{subset}' is unknown; use 'J' or 'R'.")
        self.subset = subset
        super().__init__(data_root, split, **common)

    @property
    def list_file(self) -> Path:
        """The list."""
        return self.check_root() / f'RealBlur_{self.subset}_{self.split}_list.txt'

    @staticmethod
    def split_line(line: str) -> List[str]:
        """Return the two names at the start of a line."""
        return line.split()[:2]

    @staticmethod
    def make_pair(root: Path, first: str, second: str) -> Pair:
        """Return the pair of a line, which names the sharp image first.

        Args:
            root: Folder of the list.
            first: The sharp image.
            second: The blurry image.

        Returns:
            The pair.
        """
        blur = root / second
        return Pair(f'{blur.parent.parent.name}/{blur.stem}', blur, root / first)
