"""Build the model of a config and load weights."""

from pathlib import Path
from typing import Dict, Optional, Union

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from torch import Tensor

from mmspd.registry import build_model
from mmspd.utils.config_check import require_keys
from mmspd.utils.device import check_device
from mmspd.utils.launch import read_config
from mmspd.weights.files import announce_weights
from mmspd.weights.fit import check_fit
from mmspd.weights.loading import read_state
from mmspd.weights.official import load_official_state, official_names, read_official
from mmspd.weights.sources import resolve_name

__all__ = ['init_model']


def init_model(
    config: Union[str, Path, Config],
    checkpoint: Optional[Union[str, Path]] = None,
    device: Union[str, torch.device] = 'cpu',
    distillation: bool = True,
) -> BaseModel:
    """Build the model of a config and load a checkpoint.

    Args:
        config: A config, its path, or its name, such as ``'mimounet_sp_gopro'``.
        checkpoint: Checkpoint that the runner saved, or weights of the restorer that its authors
            published: a file, an address, a name of ``tools/weights.py list``, ``'official'`` for
            the weights of the recipe, or for DMPHN a folder. Published weights contain no prior. In
            a guided model, the prior then stays untrained and does not change the
            output. With ``None``, the weights are random.
        device: Device of the model.
        distillation: Also load the heads of the prior loss. They are only needed to compare the
            prior with the teacher. If this is false, only the weights of the generator must fit,
            so the checkpoint may come from training with another prior loss or teacher.

    Returns:
        The model in evaluation mode. Its teacher, if there is one, is not built.

    Raises:
        UserError: The checkpoint cannot be read or does not fit the config, or the device does not
            exist.

    Examples:
        >>> import torch
        >>> from mmengine.config import Config
        >>> from mmspd.apis import init_model
        >>> generator = dict(type='mmspd.UNet', base=4, num_res=1)
        >>> losses = dict(loss_pix=dict(type='mmagic.L1Loss'))
        >>> model = dict(type='mmspd.SemanticPriorDeblurrer', generator=generator, losses=losses)
        >>> model = init_model(Config(dict(model=model)))
        >>> with torch.no_grad():
        ...     model(torch.zeros(1, 3, 20, 30)).shape
        torch.Size([1, 3, 20, 30])
    """
    device = check_device(device)
    if not isinstance(config, Config):
        config = read_config(str(config), {})
    require_keys(config, 'model')
    init_default_scope(config.get('default_scope', 'mmagic'))
    model = build_model(config.model)
    if checkpoint is not None:
        source = resolve_name(checkpoint, config.filename)
        _load_weights(model, source, config.filename or 'the config', distillation)
    return model.to(device).eval()


def _load_weights(model: BaseModel, source: str, config: str, distillation: bool) -> None:
    is_folder = '://' not in source and Path(source).is_dir()
    state = read_official(source, 'checkpoint') if is_folder else read_state(source, 'checkpoint')
    if any(name.startswith('generator.') for name in state):
        _load_checkpoint(model, state, source, config, distillation)
    else:
        guided = hasattr(model.generator, 'restorer')
        restorer = model.generator.restorer if guided else model.generator
        state = official_names(state, source)
        weights = load_official_state(restorer, state, source, 'checkpoint')
        print_log(f'The restorer has {weights}.', 'current')
    announce_weights()


def _load_checkpoint(
    model: BaseModel, state: Dict[str, Tensor], source: str, config: str, distillation: bool
) -> None:
    prefixes = ('generator.', 'prior_loss.') if distillation else ('generator.',)
    own = model.state_dict()
    loaded, expected = (
        {name: weight for name, weight in weights.items() if name.startswith(prefixes)}
        for weights in (state, own)
    )
    check_fit(loaded, expected, source, config)
    model.load_state_dict({**own, **loaded})
