"""A holder for a network that is needed in training only."""

from typing import Callable, Dict, Optional

import torch
from torch import nn

__all__ = ['TrainingOnly']


class TrainingOnly:
    """Holds a frozen network that is built at its first use.

    The network is not a child of the module that holds this object. Therefore ``parameters()``,
    state dicts, EMA copies and the buckets of DDP do not contain the network. A deep copy of the
    holder is the holder itself. A pickle contains the function that builds the network, but not the
    network.

    Args:
        build: Picklable function (or ``functools.partial``) that returns the network with its
            weights.
        memory_format: Memory format of the weights of convolutions.

    Examples:
        >>> import torch
        >>> from mmspd.models.layers.training_only import TrainingOnly
        >>> owner = torch.nn.Module()
        >>> owner.teacher = TrainingOnly(lambda: torch.nn.Conv2d(3, 8, 3))
        >>> owner.teacher.get(torch.device('cpu')).weight.requires_grad
        False
        >>> list(owner.parameters())
        []
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
        """Return the network on a device, frozen and in evaluation mode.

        Args:
            device: Device of the network. The first call builds the network.

        Returns:
            The network.
        """
        if self._network is None:
            network = self._build().eval().requires_grad_(False)
            # torch's type stubs lack this overload of to()
            self._network = network.to(memory_format=self._memory_format)  # type: ignore
        if self._device != device:
            self._network.to(device)
            self._device = device
        return self._network

    def __deepcopy__(self, memo: Dict) -> 'TrainingOnly':
        return self

    def __getstate__(self) -> Dict:
        return {**self.__dict__, '_network': None, '_device': torch.device('cpu')}
