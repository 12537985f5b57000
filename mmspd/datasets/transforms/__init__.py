"""Transforms for data pipelines."""

from mmspd.datasets.transforms.crop import SevereCrop
from mmspd.datasets.transforms.flips import FlipAndTranspose
from mmspd.datasets.transforms.loading import LoadImagePair, LoadPhoto
from mmspd.datasets.transforms.packing import PackInputs
from mmspd.datasets.transforms.synthesis import SynthesizeBlur

__all__ = [
    'FlipAndTranspose',
    'LoadImagePair',
    'LoadPhoto',
    'PackInputs',
    'SevereCrop',
    'SynthesizeBlur',
]
