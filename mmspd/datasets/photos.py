"""Dataset of blurry photos without sharp versions."""

from pathlib import Path
from typing import Any, Dict, List

from mmengine.dataset import BaseDataset

from mmspd.datasets.image_io import list_names, photos_by_key
from mmspd.errors import UserError
from mmspd.registry import DATASETS

__all__ = ['PhotoFolderDataset']


@DATASETS.register_module()
class PhotoFolderDataset(BaseDataset):
    """Reads blurry photos at any depth below a folder, for testing only.

    The formats are those of :func:`~mmspd.datasets.photo_io.photo.read_photo`. The pipeline
    receives a dict with ``img_path``, ``key`` and ``sample_idx``. There is no ``gt_path``. The key
    is the path relative to the folder, without suffix. If several photos differ only in their
    suffix, their keys have the suffix.

    Args:
        data_root: Folder of the photos.
        **common: Arguments of MMEngine's ``BaseDataset``: ``pipeline`` (the first step
            must be :class:`LoadPhoto`), ``indices`` and ``lazy_init``.

    Raises:
        UserError: The folder is missing or has no photo.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from mmspd.datasets import PhotoFolderDataset
        >>> from mmspd.datasets.image_io import write_png
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for name in ('cat.png', 'trip/dog.png'):
        ...         write_png(Path(root, name), np.zeros((32, 48, 3), np.uint8))
        ...     dataset = PhotoFolderDataset(root)
        ...     [dataset[index]['key'] for index in range(len(dataset))]
        ['cat', 'trip/dog']
    """

    def __init__(self, data_root: str, **common: Any) -> None:
        super().__init__(data_root=str(data_root), test_mode=True, **common)

    def load_data_list(self) -> List[Dict[str, Any]]:
        """Return the dicts for the pipeline, sorted by name."""
        root = Path(self.data_root).expanduser()
        fix = 'set data_root in the config (most recipes read it from PHOTOS_ROOT)'
        if not root.is_dir():
            raise UserError(f"The folder of photos '{root}' does not exist; {fix}.")
        photos = photos_by_key(root)
        if not photos:
            raise UserError(f"'{root}' has no photo (it holds {list_names(root)}); {fix}.")
        return [dict(img_path=str(path), key=key) for key, path in photos.items()]
