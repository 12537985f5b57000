"""Any folder of sharp photos."""

from typing import Any, List

from mmspd.datasets.image_io import images_by_stem, list_names
from mmspd.datasets.layouts import BLURRY_NAMES
from mmspd.datasets.paired import Pair, PairedImageDataset
from mmspd.errors import UserError
from mmspd.registry import DATASETS

__all__ = ['SharpFolderDataset']

#: What the pipelines of pairs consist of.
_BLUR_NOTHING = {
    *('LoadImagePair', 'PairedRandomCrop', 'ProgressiveCrop', 'SevereCrop'),
    *('Flip', 'RandomTransposeHW', 'PackInputs'),
}


@DATASETS.register_module()
class SharpFolderDataset(PairedImageDataset):
    """Sharp photos at any depth below a folder; the pipeline makes their blur.

    Each photo stands for both images of its pair until
    :class:`~mmspd.datasets.transforms.synthesis.SynthesizeBlur` has blurred one.

    Args:
        data_root: Folder of the photos.
        only_in: Take only what is in folders of this name: ``'sharp'`` takes the sharp frames of
            GOPRO_Large. By default all is taken.
        split: Take only what is in this folder of ``data_root``. By default all is taken.
        **common: Arguments of :class:`PairedImageDataset`.

    Raises:
        UserError: The folder is missing or has no photo, or seems to hold blurry ones as well, or
            nothing of the pipeline blurs the photos.
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
        if steps and steps <= _BLUR_NOTHING:  # a transform of the user's own may blur
            raise UserError(
                'the pipeline of a SharpFolderDataset has no mmspd.SynthesizeBlur, so that nothing '
                'would be blurred: take the data set of configs/_base_/datasets/sharp_photos.py '
                'with its pipeline'
            )

    @property
    def pack_options(self) -> str:
        """Say that these are sharp photos."""
        split = f' --split {self.split}' if self.split else ''
        return f' --sharp-photos {self.only_in}'.rstrip() + split

    def find_pairs(self) -> List[Pair]:
        """Find the photos, sorted by name."""
        root = self.check_root(self.split)
        photos = {
            stem: path
            for stem, path in images_by_stem(root).items()
            if not self.only_in or self.only_in in stem.split('/')[:-1]
        }
        if not photos:
            where = f"a folder '{self.only_in}' of " if self.only_in else ''
            raise UserError(f"there is no photo in {where}'{root}' (it holds {list_names(root)})")
        blurry = [
            stem for stem in photos if not set(stem.lower().split('/')).isdisjoint(BLURRY_NAMES)
        ]
        if blurry:
            raise UserError(
                f"'{root}' holds blurry photos too, by their folder's name ({blurry[0]}): set "
                "only_in to the name of the sharp ones' folder, such as only_in='sharp'"
            )
        return [Pair(stem, path, path) for stem, path in photos.items()]
