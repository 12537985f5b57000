"""Transforms of the data pipelines."""

from mmspd.datasets.transforms.loading import LoadImagePair, LoadPhoto

__all__ = ['LoadImagePair', 'LoadPhoto']
