"""The data samples of a batch, stacked."""

from collections.abc import Sequence
from typing import Any, Iterable, List, Optional

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

__all__ = ['SampleStack', 'can_stack']


class SampleStack(Sequence):
    """A sequence of data samples that holds their images as one tensor.

    One tensor moves between processes and to a device faster than many. The first access to an item
    splits the stack into data samples. From then on, this object is like a list of them, and a
    change of an item has the same effect as in a list.

    Args:
        samples: The data samples.

    Attributes:
        stacked: A data element with all fields: a tensor with the images of all data samples, or a
            list with the values of a metainfo key. ``None`` if there is no stack.

    Examples:
        >>> import torch
        >>> from mmengine.structures import BaseDataElement
        >>> from mmspd.utils.sample_stack import SampleStack
        >>> cats = [BaseDataElement(metainfo=dict(key=n), gt_img=torch.ones(3)) for n in 'ab']
        >>> samples = SampleStack.of(cats)
        >>> samples.stacked.gt_img.shape, samples.stacked.key
        (torch.Size([2, 3]), ['a', 'b'])
        >>> samples[1].key, samples.stacked
        ('b', None)
    """

    def __init__(self, samples: Iterable[Any]) -> None:
        self.stacked: Optional[Any] = None
        self._samples: List[Any] = list(samples)
        self._length = len(self._samples)

    @classmethod
    def of(cls, samples: Sequence) -> 'SampleStack':
        """Stack data samples.

        Args:
            samples: Data samples that :func:`can_stack` accepts.
        """
        stacked = type(samples[0])()
        for key, _ in samples[0].items():
            stacked.set_field(torch.stack([sample.get(key) for sample in samples]), key)
        for key, _ in samples[0].metainfo_items():
            values = [sample.get(key) for sample in samples]
            stacked.set_field(values, key, field_type='metainfo')
        return cls.of_stacked(stacked, len(samples))

    @classmethod
    def of_stacked(cls, stacked: Any, length: int) -> 'SampleStack':
        """Wrap a stack.

        Args:
            stacked: The fields of all data samples; see the attribute ``stacked``.
            length: Number of data samples.
        """
        samples = cls(())
        samples.stacked, samples._length = stacked, length
        return samples

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: Any) -> Any:
        """Return a data sample, or for a slice a list of data samples."""
        if self.stacked is not None:
            self._samples = [_item(self.stacked, number) for number in range(self._length)]
            self.stacked = None
        return self._samples[index]


def _item(stacked: Any, number: int) -> Any:
    """Return a data sample of a stack."""
    sample = type(stacked)()
    for key, values in stacked.metainfo_items():
        sample.set_field(values[number], key, field_type='metainfo')
    for key, tensor in stacked.items():
        sample.set_field(tensor[number], key)
    return sample


def can_stack(values: Sequence) -> bool:
    """Return whether values are tensors, or data samples of tensors, that can be stacked.

    Args:
        values: The values of a batch.

    Returns:
        Whether all values are tensors of the same shape and type, or all are data samples with the
        same keys and such tensors.

    Examples:
        >>> import torch
        >>> from mmspd.utils.sample_stack import can_stack
        >>> can_stack([torch.ones(3), torch.ones(3)]), can_stack([torch.ones(3), torch.ones(4)])
        (True, False)
    """
    if all(isinstance(value, BaseDataElement) for value in values):
        return _have_equal_keys(values) and all(
            can_stack([value.get(key) for value in values]) for key, _ in values[0].items()
        )
    if not all(isinstance(value, Tensor) and value.layout == torch.strided for value in values):
        return False
    return len({(value.shape, value.dtype) for value in values}) == 1


def _have_equal_keys(samples: Sequence) -> bool:
    """Return whether data samples have the same type, fields and metainfo."""
    kinds = {
        (type(sample), frozenset(sample.keys()), frozenset(sample.metainfo_keys()))
        for sample in samples
    }
    return len(kinds) == 1
