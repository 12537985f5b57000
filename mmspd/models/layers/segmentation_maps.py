"""Segmentation maps as priors (image-level priors): their two forms."""

import torch
from torch import Tensor

from mmspd.errors import UserError

__all__ = ['check_form', 'one_hot']


def check_form(form: str) -> str:
    """Return ``form`` if it is a known one.

    Raises:
        UserError: it is neither ``'probability'`` nor ``'onehot'``.
    """
    if form not in ('probability', 'onehot'):
        raise UserError(f"form={form!r} is unknown; use 'probability' or 'onehot'.")
    return form


def one_hot(scores: Tensor) -> Tensor:
    """Give everything to the most likely class of each pixel.

    Args:
        scores: ``(N, classes, H, W)``, probabilities or anything that orders the classes alike.

    Returns:
        Zeros and ones of the same shape and type.
    """
    return torch.zeros_like(scores).scatter(1, scores.argmax(dim=1, keepdim=True), 1)
