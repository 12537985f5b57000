"""A model as its config describes it, with the weights of a checkpoint."""

from pathlib import Path
from typing import Optional, Union

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope

from mmspd.registry import build_model
from mmspd.utils.device import check_device
from mmspd.utils.launch import read_config
from mmspd.weights.loading import read_state
from mmspd.weights.official import check_fit, load_official

__all__ = ['init_model']


def init_model(
    config: Union[str, Path, Config],
    checkpoint: Optional[Union[str, Path]] = None,
    device: Union[str, torch.device] = 'cpu',
    distillation: bool = True,
) -> BaseModel:
    """Build the model of a config and load a checkpoint into it.

    Args:
        config: path of a config, or the config.
        checkpoint: file that the runner saved, or weights of the restorer as its authors published
            them (file, http(s) address, or for DMPHN folder), beside which a prior does nothing
            yet; ``None`` leaves the weights at their start.
        device: where the model shall be.
        distillation: also load what only comparing the prior with the teacher needs, the heads of
            the prior loss; without it, a checkpoint fits whose generator does, however its prior
            was taught.

    Returns:
        The model in evaluation mode. Its teacher, if it has one, is not built.

    Raises:
        UserError: the checkpoint cannot be read, or is not of this config, or there is no such
            device.
    """
    device = check_device(device)
    if not isinstance(config, Config):
        config = read_config(str(config), {})
    init_default_scope(config.get('default_scope', 'mmagic'))
    model = build_model(config.model)
    if checkpoint is not None:
        _load_weights(model, str(checkpoint), config.filename or 'the config', distillation)
    return model.to(device).eval()


def _load_weights(model: BaseModel, source: str, config: str, distillation: bool) -> None:
    is_file = '://' not in source and not Path(source).is_dir()
    state = read_state(source, 'checkpoint') if is_file else {}
    if not any(name.startswith('generator.') for name in state):
        guided = hasattr(model.generator, 'restorer')
        restorer = model.generator.restorer if guided else model.generator
        weights = load_official(restorer, source, 'checkpoint')
        print_log(f'The restorer has {weights}.', 'current')
        return
    prefixes = ('generator.', 'prior_loss.') if distillation else ('generator.',)
    own = model.state_dict()
    loaded, expected = (
        {name: weight for name, weight in weights.items() if name.startswith(prefixes)}
        for weights in (state, own)
    )
    check_fit(loaded, expected, source, config)
    model.load_state_dict({**own, **loaded})
