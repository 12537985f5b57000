"""Metrics, for MMEngine's evaluator and stock loops."""

from mmspd.evaluation.metrics import (
    LPIPS,
    NIQE,
    PSNR,
    SSIM,
    BlurEffect,
    ImageMetric,
    RealBlurAligned,
)

__all__ = ['LPIPS', 'NIQE', 'PSNR', 'SSIM', 'BlurEffect', 'ImageMetric', 'RealBlurAligned']
