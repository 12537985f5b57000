"""Checks and parts of the batches of a data loader."""

from typing import Any, Dict, Tuple

from torch import Tensor

from mmspd.errors import UserError
from mmspd.utils.deferred import compute_pairs

__all__ = ['check_packed', 'complete', 'select']


def check_packed(data: Dict[str, Any]) -> None:
    """Check that a batch has the form of the transform PackInputs.

    Args:
        data: A batch of the data loader.

    Raises:
        UserError: The batch has no ``inputs`` or no ``data_samples``.
    """
    if not {'inputs', 'data_samples'} <= data.keys():
        raise UserError(
            "A batch has no inputs and data_samples; end the pipeline with dict(type='PackInputs')."
        )


def select(data: Any, number: int) -> Any:
    """Return the batch of only one image of a batch.

    Args:
        data: A batch of the data loader, or a part of it.
        number: Number of the image in the batch.

    Returns:
        A batch, or a part of it, with one image.
    """
    if isinstance(data, dict):
        return {key: select(value, number) for key, value in data.items()}
    return data[number : number + 1]


def complete(module: Any, args: Tuple[Any, ...]) -> Tuple[Any, ...]:
    """Compute the deferred images of a batch, and check the batch before it is preprocessed.

    This function is a forward pre-hook of a data preprocessor.

    Args:
        module: The data preprocessor.
        args: Its arguments; the first is the batch.

    Returns:
        The arguments with the completed batch.

    Raises:
        UserError: The batch is not packed, or its images differ in size.
    """
    check_packed(args[0])
    batch = compute_pairs(args[0], module.device)
    _refuse_unequal_sizes(batch['inputs'])
    return (batch, *args[1:])


def _refuse_unequal_sizes(images: Any) -> None:
    """Refuse a batch of images of different sizes, which the data preprocessor would pad."""
    sizes = {f'{img.shape[-1]}x{img.shape[-2]}' for img in images if isinstance(img, Tensor)}
    if len(sizes) > 1:
        raise UserError(
            f'The images of a batch have different sizes ({", ".join(sorted(sizes))} pixels); crop '
            'them to one size in the pipeline, or set batch_size=1.'
        )
