"""Dataset of pairs that a file lists."""

from pathlib import Path, PurePath
from typing import Any, Dict, List, Tuple

from mmspd.datasets.image_io import list_names
from mmspd.datasets.paired import LIST_NAME, Pair, PairedImageDataset
from mmspd.errors import UserError
from mmspd.registry import DATASETS

__all__ = ['PairListDataset']


@DATASETS.register_module()
class PairListDataset(PairedImageDataset):
    """Reads the pairs that ``<data_root>/<split>/pairs.txt`` lists.

    Each line names a blurry image and its sharp image, separated by a tab, or by spaces if the
    names have no spaces. The names are absolute or relative to the folder of the list. Files that
    the list does not name are not used. The key of a pair is the name of the blurry image without
    suffix and without leading ``/`` and ``..``.

    Args:
        data_root: Folder of the data set.
        split: Folder of the list, relative to ``data_root``; ``''`` for ``data_root`` itself.
        **common: Arguments of :class:`PairedImageDataset`.

    Raises:
        UserError: The list is missing, empty or damaged, names a blurry image twice, or names a
            missing image.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from mmspd.datasets import PairListDataset
        >>> from mmspd.datasets.image_io import write_png
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for name in ('trip/b7.png', 'trip/s9.png'):
        ...         write_png(Path(root, name), np.zeros((32, 48, 3), np.uint8))
        ...     _ = Path(root, 'pairs.txt').write_text('trip/b7.png trip/s9.png')
        ...     dataset = PairListDataset(root, lazy_init=True)
        ...     [(pair.key, pair.sharp.name) for pair in dataset.find_pairs()]
        [('trip/b7', 's9.png')]
    """

    ROOT_VARIABLE = 'PAIRS_ROOT'
    LAYOUT = 'list'
    CHOICES: Tuple[str, ...] = ('split',)

    #: Fixes of a missing list, of a damaged list and of missing images.
    FIX_NO_LIST = 'write a file with a line BLURRY SHARP for each pair'
    FIX_LIST = 'write BLURRY SHARP in each line, with a tab between names that contain spaces'
    FIX_IMAGES = 'correct the list'

    def __init__(self, data_root: str, split: str = '', **common: Any) -> None:
        self.split = split
        super().__init__(data_root, **common)

    @property
    def list_file(self) -> Path:
        """The list."""
        return self.check_root(self.split) / LIST_NAME

    def find_pairs(self) -> List[Pair]:
        """Return the pairs in the order of the list.

        Raises:
            UserError: The list is missing, empty or damaged, or a listed image is missing.
        """
        pairs = self.listed_pairs()
        missing = [file for pair in pairs for file in (pair.blur, pair.sharp) if not file.is_file()]
        if missing:
            raise UserError(
                f"{len(missing)} images of '{self.list_file.name}' are missing (first "
                f'{missing[0]}); {self.FIX_IMAGES}.'
            )
        return pairs

    def listed_pairs(self) -> List[Pair]:
        """Return the pairs of the list without checking that the images exist.

        Raises:
            UserError: The list is missing, empty or damaged.
        """
        path = self.list_file
        if not path.is_file():
            raise UserError(
                f"'{path.parent}' has no list '{path.name}' (it holds {list_names(path.parent)}); "
                f'{self.FIX_NO_LIST}.'
            )
        try:
            lines = path.read_text('utf-8-sig').split('\n')
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"Cannot read the list '{path}' ({error}); save it as UTF-8."
            ) from error
        pairs: List[Pair] = []
        numbers: Dict[str, int] = {}
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            names = self.split_line(line)
            if len(names) != 2:
                raise UserError(
                    f"Line {number} of '{path}' does not name two images ({line.strip()!r}); "
                    f'{self.FIX_LIST}.'
                )
            pairs.append(self.make_pair(path.parent, *names))
            first = numbers.setdefault(pairs[-1].key, number)
            if first != number:
                raise UserError(
                    f"Lines {first} and {number} of '{path}' have the same key "
                    f"'{pairs[-1].key}'; list each blurry image once."
                )
        if not pairs:
            raise UserError(f"'{path}' is empty; {self.FIX_LIST}.")
        return pairs

    @staticmethod
    def split_line(line: str) -> List[str]:
        """Return the names in a line."""
        return [name.strip() for name in line.split('\t')] if '\t' in line.strip() else line.split()

    @staticmethod
    def make_pair(root: Path, first: str, second: str) -> Pair:
        """Return the pair of the two names in a line.

        Args:
            root: Folder of the list.
            first: First name.
            second: Second name.

        Returns:
            The pair.
        """
        parts = PurePath(first).with_suffix('').parts
        key = '/'.join(part for part in parts if part not in ('/', '..'))
        return Pair(key, root / first, root / second)
