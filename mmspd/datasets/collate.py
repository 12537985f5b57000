"""Make a batch of samples."""

from typing import Any, Dict, Sequence

import torch
from mmengine.dataset import pseudo_collate
from mmengine.structures import BaseDataElement
from torch import Tensor
from torch.utils.data import get_worker_info

from mmspd.datasets.worker_batch import WorkerBatch
from mmspd.registry import FUNCTIONS
from mmspd.utils.sample_stack import SampleStack, can_stack

__all__ = ['stack_batch']


@FUNCTIONS.register_module()
def stack_batch(samples: Sequence[Any]) -> Any:
    """Make a batch whose images are stacked, which a worker sends as two tensors.

    MMEngine's ``pseudo_collate`` sends two tensors per sample, each with a file of its own. The
    values are the same.

    Args:
        samples: Outputs of ``PackInputs``.

    Returns:
        A dict with the tensor ``inputs``, ``(N, C, H, W)``, and the sequence ``data_samples``. If
        the samples have another form, or images differ in size, the output of ``pseudo_collate``:
        a dict of lists.

    Examples:
        >>> import numpy as np
        >>> from mmspd.datasets import PackInputs, stack_batch
        >>> images = [np.zeros((32, 48, 3), np.uint8)] * 2
        >>> batch = stack_batch([PackInputs()(dict(img=image, gt=image)) for image in images])
        >>> batch['inputs'].shape, batch['data_samples'][1].gt_img.shape
        (torch.Size([2, 3, 32, 48]), torch.Size([3, 32, 48]))
    """
    batch = pseudo_collate(samples)
    if not isinstance(batch, dict):
        return batch
    if _is_packed(batch) and all(map(can_stack, batch.values())):
        inputs, data_samples = batch['inputs'], batch['data_samples']
        batch = dict(inputs=torch.stack(inputs), data_samples=SampleStack.of(data_samples))
    return batch if get_worker_info() is None else WorkerBatch(batch)


def _is_packed(batch: Dict[str, Any]) -> bool:
    """Return whether a batch has images and data samples, and nothing else."""
    return (
        batch.keys() == {'inputs', 'data_samples'}
        and isinstance(batch['inputs'][0], Tensor)
        and isinstance(batch['data_samples'][0], BaseDataElement)
    )
