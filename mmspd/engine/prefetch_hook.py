"""Training batches on their way to the accelerator while it computes."""

from typing import Any, Iterator, List, Mapping

import torch
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop
from mmengine.structures import BaseDataElement
from torch import Tensor

from mmspd.errors import UserError
from mmspd.registry import HOOKS

__all__ = ['PrefetchHook', 'Prefetcher']


class Prefetcher:
    """A data loader whose batches are copied to a CUDA device beside what it computes.

    The copy of a batch starts while the device still works on the iteration before, which it does
    as long as nothing in an iteration waits for the device. All but the iteration (``len``,
    ``sampler``, ``dataset``, ...) is the loader's own, and so is the order of the batches.

    Args:
        loader: A ``torch.utils.data.DataLoader``.
        device: Where the model is.
    """

    def __init__(self, loader: Any, device: torch.device) -> None:
        self.loader = loader
        self.device = device

    def __len__(self) -> int:
        return len(self.loader)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def __iter__(self) -> Iterator[Any]:
        """Yield the loader's batches, on the device."""
        copying = torch.cuda.Stream(self.device)
        for batch in self.loader:
            moved: List[Tensor] = []
            with torch.cuda.stream(copying):
                batch = self._move(batch, moved)
            computing = torch.cuda.current_stream(self.device)
            computing.wait_stream(copying)
            for tensor in moved:  # or their memory could be given away while they are in use
                tensor.record_stream(computing)
            yield batch

    def _move(self, part: Any, moved: List[Tensor]) -> Any:
        """Copy the tensors of a part of a batch, and list the copies in ``moved``."""
        if isinstance(part, Tensor):
            # from other memory than pinned, a copy would make the host wait
            moved.append(part.pin_memory().to(self.device, non_blocking=True))
            return moved[-1]
        if isinstance(part, BaseDataElement):
            data = {name: self._move(value, moved) for name, value in part.items()}
            return part.new(**data)
        if isinstance(part, Mapping):
            return {key: self._move(value, moved) for key, value in part.items()}
        if isinstance(part, (list, tuple)):
            return [self._move(value, moved) for value in part]
        return part


@HOOKS.register_module()
class PrefetchHook(Hook):
    """Copy training batches to a CUDA device beside its computing; elsewhere there is no need.

    Opt in by ``default_hooks = dict(prefetch=dict(type='mmspd.PrefetchHook'))``. A
    ``pin_memory`` of the loader does not do the same: it leaves out the sharp images, which are
    in MMEngine's data elements.

    Raises:
        UserError: The run is not one of epochs.
    """

    def before_train(self, runner: Any) -> None:
        """Put the prefetcher in front of the loader."""
        loop, parameter = runner.train_loop, next(runner.model.parameters())
        if not isinstance(loop, EpochBasedTrainLoop):
            raise UserError(
                "mmspd.PrefetchHook needs train_cfg.type='mmengine.EpochBasedTrainLoop', not "
                f'{type(loop).__name__}: remove default_hooks.prefetch, or train by epochs'
            )
        if parameter.is_cuda:
            loop.dataloader = Prefetcher(loop.dataloader, parameter.device)
