"""Datasets, samplers and transforms."""

from mmspd.datasets.folders import PairedFolderDataset
from mmspd.datasets.gopro import GoProDataset
from mmspd.datasets.paired import PairedImageDataset
from mmspd.datasets.progressive import ProgressiveBatchSampler, ProgressiveCrop
from mmspd.datasets.samplers import SampleIndex, SeededSampler
from mmspd.datasets.transforms import LoadImagePair

__all__ = [
    'GoProDataset',
    'LoadImagePair',
    'PairedFolderDataset',
    'PairedImageDataset',
    'ProgressiveBatchSampler',
    'ProgressiveCrop',
    'SampleIndex',
    'SeededSampler',
]
