"""Datasets, samplers and transforms."""

from mmspd.datasets.collate import stack_batch
from mmspd.datasets.folders import PairedFolderDataset
from mmspd.datasets.gopro import GoProDataset
from mmspd.datasets.hide import HIDEDataset
from mmspd.datasets.pair_list import PairListDataset
from mmspd.datasets.paired import PairedImageDataset
from mmspd.datasets.photos import PhotoFolderDataset
from mmspd.datasets.progressive import ProgressiveBatchSampler, ProgressiveCrop
from mmspd.datasets.realblur import RealBlurDataset
from mmspd.datasets.samplers import SampleIndex, SeededSampler, SeveritySampler
from mmspd.datasets.sharp import SharpFolderDataset
from mmspd.datasets.transforms import (
    FlipAndTranspose,
    LoadImagePair,
    LoadPhoto,
    PackInputs,
    SevereCrop,
    SynthesizeBlur,
)

__all__ = [
    'FlipAndTranspose',
    'GoProDataset',
    'HIDEDataset',
    'LoadImagePair',
    'LoadPhoto',
    'PackInputs',
    'PairListDataset',
    'PairedFolderDataset',
    'PairedImageDataset',
    'PhotoFolderDataset',
    'ProgressiveBatchSampler',
    'ProgressiveCrop',
    'RealBlurDataset',
    'SampleIndex',
    'SeededSampler',
    'SevereCrop',
    'SeveritySampler',
    'SharpFolderDataset',
    'SynthesizeBlur',
    'stack_batch',
]
