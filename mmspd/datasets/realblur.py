"""Dataset that reads RealBlur as its authors distribute it."""

from typing import Any, List

from mmspd.datasets.image_io import list_names
from mmspd.datasets.paired import Pair, PairedImageDataset
from mmspd.errors import UserError
from mmspd.registry import DATASETS

__all__ = ['RealBlurDataset']


@DATASETS.register_module()
class RealBlurDataset(PairedImageDataset):
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
        self.split = split
        super().__init__(data_root, **common)

    def find_pairs(self) -> List[Pair]:
        """Return the pairs in the order of the list.

        Raises:
            UserError: The list is missing, empty or damaged, or a listed image is missing.
        """
        pairs = self.listed_pairs()
        missing = [file for pair in pairs for file in (pair.blur, pair.sharp) if not file.is_file()]
        if missing:
            raise UserError(
                f'{len(missing)} images of {self.list_name} are missing (first {missing[0]}); '
                'unpack RealBlur again.'
            )
        return pairs

    @property
    def list_name(self) -> str:
        """File name of the list."""
        return f'RealBlur_{self.subset}_{self.split}_list.txt'

    def listed_pairs(self) -> List[Pair]:
        """Return the pairs of the list without checking that the images exist.

        Raises:
            UserError: The list is missing, empty or damaged.
        """
        root = self.check_root()
        path = root / self.list_name
        if not path.is_file():
            raise UserError(
                f"'{root}' has no list '{self.list_name}' (it holds {list_names(root)}); copy the "
                'list files of RealBlur into this folder.'
            )
        pairs = []
        for number, line in enumerate(path.read_text('utf-8').splitlines(), 1):
            names = line.split()
            if not names:
                continue
            if len(names) < 2:
                raise UserError(
                    f"Line {number} of '{path}' does not name two images ({line!r}); download the "
                    'list again.'
                )
            sharp, blur = (root / name for name in names[:2])
            pairs.append(Pair(f'{blur.parent.parent.name}/{blur.stem}', blur, sharp))
        if not pairs:
            raise UserError(f"'{path}' is empty; download the list again.")
        return pairs
