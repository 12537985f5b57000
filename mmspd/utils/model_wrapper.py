"""Access the model inside a data-parallel wrapper."""

from typing import Any

from mmengine.model import is_model_wrapper
from torch import nn

__all__ = ['unwrap']


def unwrap(model: nn.Module) -> Any:
    """Return the model inside a wrapper, or the model itself if it is not wrapped.

    Args:
        model: A model, or a wrapper such as ``MMDistributedDataParallel``.

    Returns:
        The model without the wrapper.

    Examples:
        >>> from torch import nn
        >>> from mmspd.utils.model_wrapper import unwrap
        >>> model = nn.Linear(1, 1)
        >>> unwrap(model) is model
        True
    """
    return model.module if is_model_wrapper(model) else model
