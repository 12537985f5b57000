"""Run a part of a training step on a CUDA stream of its own."""

from typing import Any, Callable, Dict, Optional, Sequence

import torch
from torch import Tensor

__all__ = ['SideStream']


class SideStream:
    """Runs a function on a CUDA stream of its own, beside the work on the current stream.

    The device may then compute both at the same time. The results do not change. The two streams do
    not share the memory that they free, so the peak of the memory is higher. Copies and pickles
    have a stream of their own.

    Args:
        active: Use the stream. ``False`` calls the function on the current stream, and so does
            ``True`` on other devices than CUDA.

    Examples:
        >>> import torch
        >>> from mmspd.models.layers.side_stream import SideStream
        >>> finish = SideStream(active=True).start(lambda x: (x + 1,), torch.zeros(2))
        >>> finish()
        (tensor([1., 1.]),)
    """

    def __init__(self, active: bool) -> None:
        self.active = active
        self._stream: Optional[Any] = None

    def start(
        self, function: Callable[..., Sequence[Tensor]], *inputs: Tensor
    ) -> Callable[[], Sequence[Tensor]]:
        """Start a function.

        Args:
            function: A function of tensors that returns tensors.
            inputs: The arguments of the function, all on one device.

        Returns:
            A function that returns the results. Call it once, before the results are needed; the
            current stream then waits for them.
        """
        if not (self.active and _is_on_cuda(inputs[0])):
            results = function(*inputs)
            return lambda: results
        device = inputs[0].device
        if self._stream is None:  # one stream, because each one keeps memory of its own
            self._stream = torch.cuda.Stream(device)
        side = self._stream
        side.wait_stream(torch.cuda.current_stream(device))  # the inputs must be complete
        with torch.cuda.stream(side):
            results = function(*inputs)
        _keep_until_used(inputs, side)

        def finish() -> Sequence[Tensor]:
            current = torch.cuda.current_stream(device)
            current.wait_stream(side)
            _keep_until_used(results, current)
            return results

        return finish

    def __getstate__(self) -> Dict[str, Any]:
        return {**self.__dict__, '_stream': None}


def _is_on_cuda(tensor: Tensor) -> bool:
    return tensor.is_cuda


def _keep_until_used(tensors: Sequence[Tensor], stream: Any) -> None:
    """Let no tensor's memory be reused before the work on a stream is done."""
    for tensor in tensors:
        tensor.record_stream(stream)
