"""Transforms for data pipelines."""

from mmspd.datasets.transforms.crop import SevereCrop
from mmspd.datasets.transforms.loading import LoadImagePair, LoadPhoto
from mmspd.datasets.transforms.synthesis import SynthesizeBlur

__all__ = ['LoadImagePair', 'LoadPhoto', 'SevereCrop', 'SynthesizeBlur']
