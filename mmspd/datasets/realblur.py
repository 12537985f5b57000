"""The RealBlur data set as its authors distribute it."""

from typing import Any, List

from mmspd.datasets.image_io import list_names
from mmspd.datasets.paired import Pair, PairedImageDataset
from mmspd.errors import UserError
from mmspd.registry import DATASETS

__all__ = ['RealBlurDataset']


@DATASETS.register_module()
class RealBlurDataset(PairedImageDataset):
    """RealBlur-J or -R, by the list files that come with it.

    ``<data_root>/RealBlur_<subset>_<split>_list.txt`` names a sharp and a blurry image per line,
    relative to ``data_root``; 3758 pairs for training, 980 for testing. A pair's key is
    ``<scene>/<blurry name>``.

    Args:
        data_root: Folder that holds the lists and the folders they name.
        subset: ``'J'``, the camera's JPEG images, or ``'R'``, those made from RAW.
        split: ``'train'`` or ``'test'``.
        **common: Arguments of :class:`PairedImageDataset`.

    Raises:
        UserError: The list is missing or damaged, or an image that it names is.

    Source: Rim et al., "Real-World Blur Dataset for Learning and Benchmarking Deblurring
    Algorithms", ECCV 2020.
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
            raise UserError(f"subset is 'J' or 'R', not '{subset}'")
        self.subset = subset
        self.split = split
        super().__init__(data_root, **common)

    def find_pairs(self) -> List[Pair]:
        """Read the pairs of the list, in its order, and refuse it if one is not there."""
        pairs = self.listed_pairs()
        missing = [file for pair in pairs for file in (pair.blur, pair.sharp) if not file.is_file()]
        if missing:
            raise UserError(
                f'{len(missing)} images of {self.list_name} are missing (first {missing[0]}): '
                'unpack the data set again'
            )
        return pairs

    @property
    def list_name(self) -> str:
        """Name of the list file."""
        return f'RealBlur_{self.subset}_{self.split}_list.txt'

    def listed_pairs(self) -> List[Pair]:
        """Read the pairs of the list, whether the images are there or not.

        Raises:
            UserError: The list is missing, empty or damaged.
        """
        root = self.check_root()
        path = root / self.list_name
        if not path.is_file():
            raise UserError(
                f"'{root}' has no list '{self.list_name}' (it holds {list_names(root)}): put the "
                'lists that come with RealBlur beside its folders'
            )
        pairs = []
        for number, line in enumerate(path.read_text('utf-8').splitlines(), 1):
            names = line.split()
            if not names:
                continue
            if len(names) < 2:
                raise UserError(f"line {number} of '{path}' does not name two images: {line!r}")
            sharp, blur = (root / name for name in names[:2])
            pairs.append(Pair(f'{blur.parent.parent.name}/{blur.stem}', blur, sharp))
        if not pairs:
            raise UserError(f"'{path}' is empty: download it again")
        return pairs
