"""Where the data sets are on disk, and where their authors publish them."""

import os
from pathlib import Path
from typing import Dict, NamedTuple, Optional, Tuple

__all__ = ['DATA_FOLDERS', 'SOURCES', 'DataFolder', 'Source']


class DataFolder(NamedTuple):
    """A data folder that the configs read.

    Attributes:
        default: Folder if the environment variable is not set.
        layouts: Suitable layouts of :func:`~mmspd.datasets.layouts.recognize`. Empty for photos
            without pairs.
    """

    default: str
    layouts: Tuple[str, ...]


#: The folders by environment variable.
DATA_FOLDERS: Dict[str, DataFolder] = {
    'GOPRO_ROOT': DataFolder('data/GOPRO_Large', ('gopro',)),
    'HIDE_ROOT': DataFolder('data/HIDE', ('hide',)),
    'REALBLUR_ROOT': DataFolder('data/RealBlur', ('realblur',)),
    'PAIRS_ROOT': DataFolder('data/pairs', ('pairs', 'list')),
    'SHARP_ROOT': DataFolder('data/sharp', ()),
    'PHOTOS_ROOT': DataFolder('data/photos', ()),
    'QUICKSTART_ROOT': DataFolder('data/quickstart', ('gopro',)),
}


class Source(NamedTuple):
    """A published data set.

    Attributes:
        title: Name of the data set.
        variable: Environment variable of its folder.
        page: Page of the authors.
        license: License that the authors state.
        archive: Name of the archive.
        where: Where a person finds the archive.
        address: Address for automatic downloads with the SHA-256 of the archive. ``None`` if the
            license or the server does not allow automatic downloads.
        contains: Names of the entries that the data folder must have.
        layout: Description of the data folder, one line for each entry.
    """

    title: str
    variable: str
    page: str
    license: str
    archive: str
    where: str
    address: Optional[str]
    contains: Tuple[str, ...]
    layout: Tuple[str, ...]

    @property
    def folder(self) -> Path:
        """The folder of the data set: the environment variable, or the default."""
        return Path(os.environ.get(self.variable) or DATA_FOLDERS[self.variable].default)


#: The data sets by the name on the command line.
SOURCES: Dict[str, Source] = {
    'gopro': Source(
        title='GOPRO_Large',
        variable='GOPRO_ROOT',
        page='https://seungjunnah.github.io/Datasets/gopro',
        license='CC BY 4.0',
        archive='GOPRO_Large.zip',
        where='the link "GOPRO_Large" of this page',
        address='https://huggingface.co/datasets/snah/GOPRO_Large/resolve/'
        '592978466ae510d2734b199cad2fc79a346bda1c/GOPRO_Large.zip#sha256='
        '24532c036712515cf33803704421311c91f6a080e76049d7e5e7fd22389f128e',
        contains=('train', 'test'),
        layout=(
            'train/GOPR0372_07_00/{blur,blur_gamma,sharp}/000047.png',
            'test/GOPR0384_11_00/{blur,blur_gamma,sharp}/000001.png',
        ),
    ),
    'hide': Source(
        title='HIDE',
        variable='HIDE_ROOT',
        page='https://github.com/joanshen0508/HA_deblur',
        license='none stated; ask the authors before you use the data for other than research',
        archive='HIDE_dataset.zip',
        where='https://www.dropbox.com/s/04w3wqxcuin9dy8/HIDE_dataset.zip',
        address=None,
        contains=('train', 'test', 'GT'),
        layout=(
            'train/*.png',
            'test/test-close-ups/*.png',
            'test/test-long-shot/*.png',
            'GT/*.png',
        ),
    ),
    'realblur': Source(
        title='RealBlur',
        variable='REALBLUR_ROOT',
        page='https://github.com/rimchang/RealBlur',
        license='CC BY 4.0',
        archive='RealBlur.tar.gz',
        where='https://cgdata.postech.ac.kr/sharing/YhKdbtvD0, or the Google Drive link of the '
        'page',
        address=None,
        contains=(
            'RealBlur_J_train_list.txt',
            'RealBlur_J_test_list.txt',
            'RealBlur-J_ECC_IMCORR_centroid_itensity_ref',
        ),
        layout=(
            'RealBlur_{J,R}_{train,test}_list.txt',
            'RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene001/{gt,blur}/*.png',
            'RealBlur-R_BM3D_ECC_IMCORR_centroid_itensity_ref/scene001/{gt,blur}/*.png',
        ),
    ),
}
