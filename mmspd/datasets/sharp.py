"""Dataset of sharp photos that the pipeline blurs."""

from typing import Any, List

from mmspd.datasets.image_io import list_names, photos_by_key
from mmspd.datasets.layouts import BLURRY_NAMES
from mmspd.datasets.paired import Pair, PairedImageDataset
from mmspd.errors import UserError
from mmspd.registry import DATASETS

__all__ = ['SharpFolderDataset']

#: Transforms that do not blur.
_BLUR_NOTHING = {
    *('LoadImagePair', 'PairedRandomCrop', 'ProgressiveCrop', 'SevereCrop'),
    *('Flip', 'RandomTransposeHW', 'FlipAndTranspose', 'PackInputs'),
}


@DATASETS.register_module()
class SharpFolderDataset(PairedImageDataset):
    """Reads sharp photos at any depth below a folder; the pipeline blurs them.

    Each photo is both the blurry and the sharp image of its pair. The pipeline needs
    :class:`~mmspd.datasets.transforms.synthesis.SynthesizeBlur`, which makes the blurry image.

    Args:
        data_root: Folder of the photos.
        only_in: Use only photos in folders of this name; ``''`` for all photos. ``'sharp'`` selects
            the sharp frames of GOPRO_Large.
        split: Use only photos in this folder of ``data_root``; ``''`` for all photos.
        **common: Arguments of :class:`PairedImageDataset`.

    Raises:
        UserError: The folder is missing or has no photo, the name of a folder suggests blurry
            photos, or the pipeline does not blur.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from mmspd.datasets import SharpFolderDataset
        >>> from mmspd.datasets.image_io import write_png
        >>> steps = [dict(type='mmspd.LoadImagePair'), dict(type='mmspd.SynthesizeBlur')]
        >>> with tempfile.TemporaryDirectory() as root:
        ...     write_png(Path(root, 'trip', 'cat.png'), np.zeros((64, 64, 3), np.uint8))
        ...     dataset = SharpFolderDataset(root, pipeline=steps, lazy_init=True)
        ...     [pair.key for pair in dataset.find_pairs()]
        ['trip/cat']
    """

    ROOT_VARIABLE = 'SHARP_ROOT'
    LAYOUT = 'sharp'
    CHOICES = ('split', 'only_in')

    def __init__(
        self,
        data_root: str,
        only_in: str = '',
        split: str = '',
        **common: Any,
    ) -> None:
        self.only_in = only_in
        self.split = split
        super().__init__(data_root, **common)
        steps = {type(step).__name__ for step in self.pipeline.transforms}
        if steps and steps <= _BLUR_NOTHING:  # a custom transform may blur
            raise UserError(
                'The pipeline of SharpFolderDataset has no mmspd.SynthesizeBlur and does not blur; '
                'use the pipeline of configs/_base_/datasets/sharp_photos.py.'
            )

    @property
    def pack_options(self) -> str:
        """Options of ``pack.py`` that select these photos."""
        split = f' --split {self.split}' if self.split else ''
        return f' --sharp-photos {self.only_in}'.rstrip() + split

    def find_pairs(self) -> List[Pair]:
        """Return the photos, sorted by name."""
        root = self.check_root(self.split)
        photos = {
            key: path
            for key, path in photos_by_key(root).items()
            if not self.only_in or self.only_in in key.split('/')[:-1]
        }
        if not photos:
            where = f" in a folder '{self.only_in}'" if self.only_in else ''
            raise UserError(
                f"'{root}' has no photo{where} (it holds {list_names(root)}); copy the photos into "
                f'it or set {self.ROOT_VARIABLE}.'
            )
        blurry = [key for key in photos if not set(key.lower().split('/')).isdisjoint(BLURRY_NAMES)]
        if blurry:
            raise UserError(
                f"'{root}' also has a folder of blurry photos ({blurry[0]}); set only_in to the "
                "name of the folders of sharp photos, for example only_in='sharp'."
            )
        return [Pair(key, path, path) for key, path in photos.items()]
