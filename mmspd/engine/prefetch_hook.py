"""Copy the next training batch to a CUDA device while the device computes."""

from typing import Any, Iterator, List, Mapping

import torch
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop
from mmengine.structures import BaseDataElement
from torch import Tensor

from mmspd.errors import UserError
from mmspd.registry import HOOKS
from mmspd.utils.sample_stack import SampleStack

__all__ = ['PrefetchHook', 'Prefetcher']


class Prefetcher:
    """Wraps a data loader and copies its batches to a CUDA device while the device computes.

    The copy of a batch starts while the device still computes the previous iteration. Therefore the
    iterations must not wait for the device. The batches keep their order. The wrapper has the
    length and the other attributes of the loader (``sampler``, ``dataset``, ...).

    Args:
        loader: A ``torch.utils.data.DataLoader``.
        device: The device of the model.
    """

    def __init__(self, loader: Any, device: torch.device) -> None:
        self.loader = loader
        self.device = device

    def __len__(self) -> int:
        return len(self.loader)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches of the loader on the device."""
        copying = torch.cuda.Stream(self.device)
        for batch in self.loader:
            moved: List[Tensor] = []
            with torch.cuda.stream(copying):
                batch = self._move(batch, moved)
            computing = torch.cuda.current_stream(self.device)
            computing.wait_stream(copying)
            for tensor in moved:  # otherwise their memory could be reused too early
                tensor.record_stream(computing)
            yield batch

    def _move(self, part: Any, moved: List[Tensor]) -> Any:
        """Copy the tensors in a part of a batch, and append the copies to ``moved``."""
        if isinstance(part, Tensor):
            # a copy from memory that is not pinned would block the host
            moved.append(part.pin_memory().to(self.device, non_blocking=True))
            return moved[-1]
        if isinstance(part, BaseDataElement):
            data = {name: self._move(value, moved) for name, value in part.items()}
            return part.new(**data)
        if isinstance(part, SampleStack):
            if part.stacked is None:
                return self._move(list(part), moved)
            return SampleStack.of_stacked(self._move(part.stacked, moved), len(part))
        if isinstance(part, Mapping):
            return {key: self._move(value, moved) for key, value in part.items()}
        if isinstance(part, (list, tuple)):
            return [self._move(value, moved) for value in part]
        return part


@HOOKS.register_module()
class PrefetchHook(Hook):
    """Copies the next training batch to a CUDA device while the device computes.

    The hook has no effect on other devices. To use it, set
    ``default_hooks = dict(prefetch=dict(type='mmspd.PrefetchHook'))``. The option ``pin_memory`` of
    a loader does not replace the hook: it does not pin the sharp images, because they are inside
    MMEngine's data elements.

    Raises:
        UserError: The training loop is not an ``EpochBasedTrainLoop``.
    """

    def before_train(self, runner: Any) -> None:
        """Wrap the loader of the training loop.

        Args:
            runner: MMEngine's runner.

        Raises:
            UserError: The training loop is not an ``EpochBasedTrainLoop``.
        """
        loop, parameter = runner.train_loop, next(runner.model.parameters())
        if not isinstance(loop, EpochBasedTrainLoop):
            raise UserError(
                "mmspd.PrefetchHook needs train_cfg.type='mmengine.EpochBasedTrainLoop', not "
                f'{type(loop).__name__}; set this type, or remove default_hooks.prefetch.'
            )
        if parameter.is_cuda:
            loop.dataloader = Prefetcher(loop.dataloader, parameter.device)
