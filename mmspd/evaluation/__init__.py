"""Metrics for MMEngine's evaluator and standard loops, and results of test runs."""

from mmspd.evaluation.metrics import (
    LPIPS,
    NIQE,
    PSNR,
    SSIM,
    BlurEffect,
    BlurSeverity,
    ImageMetric,
    MetricInfo,
    PixelDifference,
    RealBlurAligned,
)
from mmspd.evaluation.results import Result
from mmspd.evaluation.results_hook import ResultsHook

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
    'Result',
    'ResultsHook',
]
