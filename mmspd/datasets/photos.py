"""Blurry photos of which nobody has a sharp version."""

from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Union

from mmengine.dataset import BaseDataset

from mmspd.datasets.image_io import images_by_stem, list_names
from mmspd.errors import UserError
from mmspd.registry import DATASETS

__all__ = ['PhotoFolderDataset']


@DATASETS.register_module()
class PhotoFolderDataset(BaseDataset):
    """Every photo below a folder, at any depth, for testing alone.

    A sample enters the pipeline as a dict of ``img_path``, ``key`` (the photo's name relative to
    the folder, without suffix) and ``sample_idx``; there is no ``gt_path``.

    Args:
        data_root: The folder.
        pipeline: Transforms, built in order; :class:`LoadPhoto` first.
        indices: Keep the first (last, if negative) so many photos, or those listed.
        lazy_init: MMEngine's: scan the folder at the first use instead of now.

    Raises:
        UserError: The folder is missing or holds no photo, or two photos differ only in their
            suffix.
    """

    METAINFO = dict(dataset_type='photos')

    def __init__(
        self,
        data_root: str,
        pipeline: Sequence[Union[dict, Callable]] = (),
        indices: Optional[Union[int, Sequence[int]]] = None,
        lazy_init: bool = False,
    ) -> None:
        super().__init__(
            data_root=str(data_root),
            pipeline=list(pipeline),
            indices=indices,
            test_mode=True,
            lazy_init=lazy_init,
        )

    def load_data_list(self) -> List[Dict[str, Any]]:
        """Turn the photos, sorted by name, into the dicts that enter the pipeline."""
        root = Path(self.data_root).expanduser()
        cure = 'set the environment variable PHOTOS_ROOT, or data_root in the config'
        if not root.is_dir():
            raise UserError(f"the folder of photos '{root}' does not exist: {cure}")
        photos = images_by_stem(root)
        if not photos:
            raise UserError(f"there is no photo in '{root}' (it holds {list_names(root)}): {cure}")
        return [dict(img_path=str(path), key=key) for key, path in photos.items()]
