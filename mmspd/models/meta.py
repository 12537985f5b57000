"""Running a network for its shapes alone."""

from contextlib import contextmanager
from typing import Dict, Iterator, Optional

import torch
from torch import Tensor, nn

__all__ = ['shapes_only']


@contextmanager
def shapes_only(module: nn.Module, grad: bool = False) -> Iterator[None]:
    """Put a network's tensors on the meta device within a ``with``: shapes, and no computing.

    The network is not copied, and neither its tensors nor what its modules remember of a forward
    (a mean moved to the image's device, a pooling size taken from the first image) are changed.
    (``torch.func.functional_call`` leaves meta tensors behind in both cases, and where one module
    stands at two places of a network.)

    Args:
        module: the network.
        grad: whether its (meta) parameters take part in autograd, which tells what depends on what.
    """
    copies: Dict[int, Tensor] = {}

    def on_meta(tensor: Optional[Tensor]) -> Optional[Tensor]:
        if tensor is None:
            return None
        copy = torch.empty_like(tensor, device='meta', requires_grad=grad and tensor.requires_grad)
        return copies.setdefault(id(tensor), copy)

    remembered = [(part.__dict__, dict(part.__dict__)) for part in module.modules()]
    saved = []
    for part in module.modules():  # each module once, however often it is used
        for tensors in (part._parameters, part._buffers):
            saved.append((tensors, dict(tensors)))
            tensors.update({name: on_meta(tensor) for name, tensor in tensors.items()})
    try:
        with torch.set_grad_enabled(grad):
            yield
    finally:
        for attributes, originals in remembered:
            attributes.clear()
            attributes.update(originals)
        for tensors, originals in saved:
            tensors.update(originals)
