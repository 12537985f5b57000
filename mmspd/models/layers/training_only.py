"""A holder that keeps a training-only network out of the module tree."""

from typing import Callable, Dict, Optional

import torch
from torch import nn

__all__ = ['TrainingOnly']


class TrainingOnly:
    """A frozen network that exists only where it is first used.

    It is no child of the module that holds it: not in ``parameters()``, not in a state dict, not
    in an EMA copy (a deep copy is the holder itself), not in DDP's buckets. Pickling keeps the
    recipe alone.

    Args:
        build: returns the network with its weights; picklable (a function or a partial).
        memory_format: of its convolutions' weights.
    """

    def __init__(
        self,
        build: Callable[[], nn.Module],
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        self._build = build
        self._memory_format = memory_format
        self._network: Optional[nn.Module] = None
        self._device = torch.device('cpu')

    def get(self, device: torch.device) -> nn.Module:
        """Return the network on a device, in eval mode and frozen; build it at the first call."""
        if self._network is None:
            network = self._build().eval().requires_grad_(False)
            # torch's stubs lack this form of to()
            self._network = network.to(memory_format=self._memory_format)  # type: ignore
        if self._device != device:
            self._network.to(device)
            self._device = device
        return self._network

    def __deepcopy__(self, memo: Dict) -> 'TrainingOnly':
        return self

    def __getstate__(self) -> Dict:
        return {**self.__dict__, '_network': None, '_device': torch.device('cpu')}
