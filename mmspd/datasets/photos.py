"""Blurry photos of which nobody has a sharp version."""

from pathlib import Path
from typing import Any, Dict, List

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
        **common: Arguments of MMEngine's ``BaseDataset``: ``pipeline``, of which
            :class:`LoadPhoto` is the first step, ``indices`` or ``lazy_init``.

    Raises:
        UserError: The folder is missing or holds no photo, or two photos differ only in their
            suffix.
    """

    def __init__(self, data_root: str, **common: Any) -> None:
        super().__init__(data_root=str(data_root), test_mode=True, **common)

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
