"""Images, and data samples for metrics in MMagic's format."""

import logging
from contextlib import contextmanager

import cv2
import numpy as np
import torch
from mmengine.logging import MMLogger


def photo(height=24, width=32, seed=0, channels=3):
    """A smooth uint8 image of shape (H, W, C)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, channels), dtype=np.uint8)
    return cv2.resize(coarse, (width, height)).reshape(height, width, channels)


def noisy_pair(seed, size=(37, 53), sigma=20):
    """Two similar uint8 RGB images of shape (H, W, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (size[0] // 8 + 1, size[1] // 8 + 1, 3))
    first = np.kron(coarse, np.ones((8, 8, 1)))[: size[0], : size[1]]
    second = first + rng.normal(0, sigma, first.shape)
    return tuple(np.clip(image, 0, 255).astype(np.uint8) for image in (first, second))


def as_bgr(image):
    """Convert an RGB image (H, W, 3) to a float BGR tensor (3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1))).float()


def sample(pred, gt=None, blur=None, **metainfo):
    """A data sample as a dict with a prediction and optional images."""
    values = dict(output=dict(pred_img=as_bgr(pred)), **metainfo)
    if gt is not None:
        values['gt_img'] = as_bgr(gt)
    if blur is not None:
        values['input'] = as_bgr(blur)
    return values


def evaluate(metric, samples):
    """Run a metric as an evaluator does."""
    metric.process(None, samples)
    return metric.evaluate(len(samples))


@contextmanager
def mmengine_log(caplog):
    """Send the records of MMEngine's logger to pytest's caplog."""
    with logged_to(caplog.handler):
        yield caplog


@contextmanager
def logged_to(handler):
    """Send the records of MMEngine's logger to a handler, also if a runner has set a level."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
