"""Metrics for the stock loops."""

from mmspd.evaluation.metrics.base import ImageMetric
from mmspd.evaluation.metrics.functional import psnr, ssim_2d, ssim_matlab
from mmspd.evaluation.metrics.psnr_metric import PSNR
from mmspd.evaluation.metrics.ssim_metric import SSIM

__all__ = ['PSNR', 'SSIM', 'ImageMetric', 'psnr', 'ssim_2d', 'ssim_matlab']
