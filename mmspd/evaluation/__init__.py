"""Metrics, for MMEngine's evaluator and stock loops."""

from mmspd.evaluation.metrics import PSNR, SSIM, ImageMetric

__all__ = ['PSNR', 'SSIM', 'ImageMetric']
