"""Depthwise convolutions in float32, for training in bfloat16 on a CPU."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Dict, List, Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ['depthwise_in_float32']


def depthwise_in_float32(image: Tensor) -> AbstractContextManager:
    """Return a context in which depthwise convolutions leave the autocast of a CPU.

    In training, oneDNN's depthwise convolutions took 1.6 to 8 times as long in bfloat16 as in
    float32, on a processor with AMX and channels-last memory. All other layers stay in bfloat16,
    and the results are converted to bfloat16, too. Without gradients, outside of autocast, on
    another device and in compiled code, the context does nothing.

    Args:
        image: An image on the device of the network.

    Examples:
        >>> import torch
        >>> from mmspd.models.layers.depthwise import depthwise_in_float32
        >>> conv, image = torch.nn.Conv2d(8, 8, 3, groups=8), torch.rand(1, 8, 16, 16)
        >>> with torch.autocast('cpu', torch.bfloat16), depthwise_in_float32(image):
        ...     conv(image).dtype
        torch.bfloat16
    """
    kind = image.device.type
    applies = (
        kind == 'cpu'
        and torch.is_grad_enabled()
        and torch.is_autocast_enabled(kind)
        and not torch.compiler.is_compiling()
    )
    return _DepthwiseInFloat32(torch.get_autocast_dtype(kind)) if applies else nullcontext()


class _DepthwiseInFloat32(TorchFunctionMode):
    """Converts the tensors of depthwise convolutions to float32, and their results back."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[Any],
        args: Sequence[Any] = (),
        kwargs: Optional[Dict[str, Any]] = None,
    ) -> Any:
        kwargs = kwargs or {}
        return (self._convolve if func is F.conv2d else func)(*args, **kwargs)

    def _convolve(self, input: Tensor, weight: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if input.shape[1] == 1 or weight.shape[1] > 1:
            return F.conv2d(input, weight, *args, **kwargs)
        with torch.autocast(input.device.type, enabled=False):
            floats: List[Any] = [arg.float() if isinstance(arg, Tensor) else arg for arg in args]
            result = F.conv2d(input.float(), weight.float(), *floats, **kwargs)
        return result.to(self.dtype)
