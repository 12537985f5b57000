"""The two forms of segmentation maps as image-level priors: probability and one-hot."""

import torch
from torch import Tensor

from mmspd.errors import UserError

__all__ = ['check_form', 'one_hot']


def check_form(form: str) -> str:
    """Return ``form`` if it is valid.

    Args:
        form: ``'probability'`` or ``'onehot'``.

    Returns:
        The value of ``form``.

    Raises:
        UserError: ``form`` is neither ``'probability'`` nor ``'onehot'``.
    """
    if form not in ('probability', 'onehot'):
        raise UserError(f"form={form!r} is unknown; use 'probability' or 'onehot'.")
    return form


def one_hot(scores: Tensor) -> Tensor:
    """Set the most likely class of each pixel to 1 and the other classes to 0.

    Args:
        scores: ``(N, classes, H, W)``, probabilities or logits.

    Returns:
        Zeros and ones of the same shape and dtype.

    Examples:
        >>> import torch
        >>> from mmspd.models.layers.segmentation_maps import one_hot
        >>> one_hot(torch.tensor([0.2, 0.7, 0.1]).view(1, 3, 1, 1)).flatten()
        tensor([0., 1., 0.])
    """
    return torch.zeros_like(scores).scatter(1, scores.argmax(dim=1, keepdim=True), 1)
