"""Compare weights with the weights that a model needs."""

from typing import Dict, List

from torch import Tensor

from mmspd.errors import UserError

__all__ = ['check_fit', 'count_faults', 'describe_faults']

State = Dict[str, Tensor]


def describe_faults(given: State, expected: State) -> List[str]:
    """Describe the weights in ``given`` that do not fit ``expected``.

    Args:
        given: The weights.
        expected: Weights with the required names and shapes.

    Returns:
        A phrase for each kind of fault with at most three names; an empty list if all weights fit.

    Examples:
        >>> import torch
        >>> from mmspd.weights.fit import describe_faults
        >>> describe_faults(dict(a=torch.zeros(1)), dict(a=torch.zeros(2), b=torch.zeros(1)))
        ['1 missing (b)', '1 of another shape (a is (1,) instead of (2,))']
    """
    common = [name for name in expected if name in given]
    kinds = {
        'missing': [name for name in expected if name not in given],
        'unexpected': [name for name in given if name not in expected],
        'of another shape': [
            f'{name} is {tuple(given[name].shape)} instead of {tuple(expected[name].shape)}'
            for name in common
            if given[name].shape != expected[name].shape
        ],
        'of another type': [
            f'{name} is {_type(given[name])} instead of {_type(expected[name])}'
            for name in common
            if given[name].shape == expected[name].shape
            and expected[name].is_floating_point()
            and not given[name].is_floating_point()
        ],
    }
    return [
        f'{len(names)} {kind} ({", ".join(names[:3])}{", ..." if len(names) > 3 else ""})'
        for kind, names in kinds.items()
        if names
    ]


def count_faults(faults: List[str]) -> int:
    """Count the weights that the phrases of :func:`describe_faults` are about."""
    return sum(int(fault.partition(' ')[0]) for fault in faults)


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).replace('torch.', '')


def check_fit(given: State, expected: State, source: str, config: str) -> None:
    """Check that a checkpoint contains exactly the weights of a model.

    Args:
        given: Weights in the checkpoint.
        expected: Weights of the model.
        source: The checkpoint's file, for the error message.
        config: The config of the model, for the error message.

    Raises:
        UserError: Weights are missing, unexpected, or have another shape or type.
    """
    faults = describe_faults(given, expected)
    if faults:
        raise UserError(
            f'{source} does not fit the model of {config}: {", ".join(faults)}; use the config '
            'in the work folder of the training run.'
        )
