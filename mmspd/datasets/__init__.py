"""Datasets, samplers and transforms."""

from mmspd.datasets.folders import PairedFolderDataset
from mmspd.datasets.gopro import GoProDataset
from mmspd.datasets.hide import HIDEDataset
from mmspd.datasets.paired import PairedImageDataset
from mmspd.datasets.progressive import ProgressiveBatchSampler, ProgressiveCrop
from mmspd.datasets.realblur import RealBlurDataset
from mmspd.datasets.samplers import SampleIndex, SeededSampler
from mmspd.datasets.transforms import LoadImagePair

__all__ = [
    'GoProDataset',
    'HIDEDataset',
    'LoadImagePair',
    'PairedFolderDataset',
    'PairedImageDataset',
    'ProgressiveBatchSampler',
    'ProgressiveCrop',
    'RealBlurDataset',
    'SampleIndex',
    'SeededSampler',
]
