"""Transforms of the data pipelines."""

from mmspd.datasets.transforms.loading import LoadImagePair

__all__ = ['LoadImagePair']
