"""What MMagic hands to metrics, made from arrays."""

import numpy as np
import torch


def noisy_pair(seed, size=(37, 53), sigma=20):
    """Two uint8 RGB images of shape (H, W, 3) that resemble each other."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (size[0] // 8 + 1, size[1] // 8 + 1, 3))
    first = np.kron(coarse, np.ones((8, 8, 1)))[: size[0], : size[1]]
    second = first + rng.normal(0, sigma, first.shape)
    return tuple(np.clip(image, 0, 255).astype(np.uint8) for image in (first, second))


def as_bgr(image):
    """BGR floats of shape (3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1))).float()


def sample(pred, gt=None, blur=None, **metainfo):
    """A data sample as a dict, of a prediction and what else there is."""
    found = dict(output=dict(pred_img=as_bgr(pred)), **metainfo)
    if gt is not None:
        found['gt_img'] = as_bgr(gt)
    if blur is not None:
        found['input'] = as_bgr(blur)
    return found


def evaluate(metric, samples):
    """Run a metric as an evaluator does."""
    metric.process(None, samples)
    return metric.evaluate(len(samples))
