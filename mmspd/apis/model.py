"""A model as its config describes it, with the weights of a checkpoint."""

from pathlib import Path
from typing import Optional, Union

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.runner import load_state_dict

from mmspd.errors import UserError
from mmspd.registry import build_model
from mmspd.utils.weights import read_state

__all__ = ['load_model']


def load_model(
    config: Union[str, Path, Config],
    checkpoint: Optional[Union[str, Path]] = None,
    device: Union[str, torch.device] = 'cpu',
) -> BaseModel:
    """Build the model of a config and load a checkpoint of the runner into it.

    Args:
        config: path of a config, or the config.
        checkpoint: file that the runner saved; ``None`` leaves the weights at their start.
        device: where the model shall be.

    Returns:
        The model in evaluation mode. Its teacher, if it has one, is not built.

    Raises:
        UserError: the checkpoint cannot be read, or is not of this config.
    """
    if not isinstance(config, Config):
        config = Config.fromfile(config)
    init_default_scope(config.get('default_scope', 'mmagic'))
    model = build_model(config.model)
    if checkpoint is not None:
        state = read_state(str(checkpoint), 'checkpoint')
        try:
            load_state_dict(model, state, strict=True)
        except RuntimeError as error:
            raise UserError(
                f'{checkpoint} does not fit the model of {config.filename}; use the config it was '
                'trained with.'
            ) from error
    return model.to(device).eval()
