"""Metrics for MMEngine's standard loops."""

from mmspd.evaluation.metrics.aligned import RealBlurAligned, aligned_scores
from mmspd.evaluation.metrics.base import ImageMetric, MetricInfo
from mmspd.evaluation.metrics.full_reference import PSNR, SSIM
from mmspd.evaluation.metrics.functional import psnr, ssim_2d, ssim_matlab
from mmspd.evaluation.metrics.lpips_metric import LPIPS
from mmspd.evaluation.metrics.no_reference import NIQE, BlurEffect
from mmspd.evaluation.metrics.pixel_difference import PixelDifference
from mmspd.evaluation.metrics.severity_metric import BlurSeverity

__all__ = [
    'LPIPS',
    'NIQE',
    'PSNR',
    'SSIM',
    'BlurEffect',
    'BlurSeverity',
    'ImageMetric',
    'MetricInfo',
    'PixelDifference',
    'RealBlurAligned',
    'aligned_scores',
    'psnr',
    'ssim_2d',
    'ssim_matlab',
]
