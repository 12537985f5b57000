"""Dataset of pairs in folders, matched by name."""

import shlex
from pathlib import PurePath
from typing import Any, Dict, List

from mmspd.datasets.image_io import list_names
from mmspd.datasets.pair_names import ANY_NAME, ImagePlace, check_template
from mmspd.datasets.paired import Pair, PairedImageDataset, match_pairs
from mmspd.errors import UserError
from mmspd.registry import DATASETS

__all__ = ['PairedFolderDataset']


@DATASETS.register_module()
class PairedFolderDataset(PairedImageDataset):
    """Reads the pairs ``<data_root>/<blur_dir>/NAME`` and ``<data_root>/<sharp_dir>/NAME``.

    By default, two images form a pair if their names without suffix are equal. ``NAME`` may contain
    sub-folders. MPRNet, NAFNet and Restormer use the folders ``input`` and ``target``; MIMO-UNet
    uses ``blur`` and ``sharp``.

    If the names of a pair differ, set the templates. A template is the end of a path, and ``{}`` in
    it stands for the name of the pair: ``'{}_blur'`` and ``'{}_sharp'`` pair ``IMG_0_blur.png`` and
    ``IMG_0_sharp.png``, and ``'{}/blur'`` and ``'{}/sharp'`` pair ``0/blur.png`` and
    ``0/sharp.png``. Both folders may be the same; an image that fits both templates belongs to the
    longer template. Images that fit no template are not used; a warning names them. If no template
    describes the names, use :class:`~mmspd.datasets.pair_list.PairListDataset`.

    Args:
        data_root: Folder of the data set.
        blur_dir: Folder of the blurry images, relative to ``<data_root>/<split>``.
        sharp_dir: Folder of the sharp images, relative to ``<data_root>/<split>``.
        split: Sub-folder of ``data_root`` that contains ``blur_dir`` and ``sharp_dir``; ``''`` if
            ``data_root`` itself contains them.
        **common: Arguments of :class:`PairedImageDataset`.

    Raises:
        UserError: A folder is missing or empty, an image has no partner, or a template does not
            contain ``{}`` once.

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
    CHOICES = ('blur_dir', 'sharp_dir', 'blur_template', 'sharp_template')

    def __init__(
        self,
        data_root: str,
        blur_dir: str = 'input',
        sharp_dir: str = 'target',
        split: str = '',
        blur_template: str = ANY_NAME,
        sharp_template: str = ANY_NAME,
        **common: Any,
    ) -> None:
        self.blur_template = check_template('blur_template', blur_template)
        self.sharp_template = check_template('sharp_template', sharp_template)
        self.blur_dir = PurePath(split, blur_dir).as_posix()
        self.sharp_dir = PurePath(split, sharp_dir).as_posix()
        super().__init__(data_root, **common)

    def choices(self) -> Dict[str, str]:
        """Return a dict with the layout and the arguments that select the pairs."""
        return {
            name: value for name, value in super().choices().items() if value not in (ANY_NAME, '.')
        }

    @property
    def pack_options(self) -> str:
        """Options of ``pack.py`` that select these pairs."""
        templates = dict(blur=self.blur_template, sharp=self.sharp_template)
        return ''.join(
            f' --{kind}-template {shlex.quote(template)}'
            for kind, template in templates.items()
            if template != ANY_NAME
        )

    def places(self) -> List[ImagePlace]:
        """Return the places of the blurry and the sharp images.

        Raises:
            UserError: A folder is missing.
        """
        root = self.check_root()
        places = []
        for kind in ('blur', 'sharp'):
            folder = getattr(self, f'{kind}_dir')
            if not (root / folder).is_dir():
                raise UserError(
                    f"'{root}' has no folder '{folder}' (it holds {list_names(root)}); set "
                    f'{kind}_dir in the config.'
                )
            places.append(ImagePlace(root / folder, getattr(self, f'{kind}_template')))
        return places

    def find_pairs(self) -> List[Pair]:
        """Return the pairs of the two folders, sorted by name."""
        blur, sharp = self.places()
        return match_pairs(blur, sharp)
