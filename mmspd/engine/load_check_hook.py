"""Refuse files that cannot be read and weights that do not fit, under any Runner."""

import re
from typing import Any, Dict, Optional

import torch
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop
from mmengine.runner.checkpoint import CheckpointLoader, load_from_local

from mmspd.errors import UserError
from mmspd.registry import HOOKS
from mmspd.utils.model_wrapper import unwrap
from mmspd.weights.official import check_fit, fit_official, official_names
from mmspd.weights.published import recognize
from mmspd.weights.torch_file import unreadable

__all__ = ['LoadCheckHook', 'load_local']

_RESTORER = 'generator.restorer.'
_ADDED = ('generator.prior.', 'generator.embedding.')


def load_local(filename: str, map_location: Optional[Any] = None) -> Any:
    """Load a checkpoint as MMEngine does; it calls this for every path without a scheme.

    Args:
        filename: the file.
        map_location: as for ``torch.load``.

    Raises:
        UserError: the file is damaged, is no checkpoint, or could run code.
    """
    try:
        return load_from_local(filename, map_location)
    except (FileNotFoundError, MemoryError, torch.cuda.OutOfMemoryError):
        raise  # not the file's fault
    except Exception as error:  # torch raises a dozen types for a file that is no checkpoint
        raise unreadable(filename, 'checkpoint', error) from error


CheckpointLoader.register_scheme('', load_local, force=True)


@HOOKS.register_module()
class LoadCheckHook(Hook):
    """Check a checkpoint's ``generator`` weights against the model before they are applied.

    MMEngine logs keys that are missing, unexpected or of another shape, and goes on. Here each is
    an error, with one exception: the checkpoint of a plain restorer starts a guided one. Its
    ``generator.X`` is loaded as ``generator.restorer.X``, and that prior and embedding start from
    their initial weights is said in the log.

    Published weights of a restorer are taken as they are for testing; training starts from them by
    the model's ``load_official``.

    A model without a ``generator`` is not looked at, and neither are weights outside of it, such
    as the distillation heads, which are not built for testing.

    Raises:
        UserError: Names the first keys that do not fit, the file and the config.
    """

    # EMAHook (NORMAL) copies the checkpoint's weights, so they must be right before its turn
    priority = 'HIGH'

    def after_load_checkpoint(self, runner: Any, checkpoint: Dict[str, Any]) -> None:
        """Check, and rename in place, the loaded ``checkpoint['state_dict']``."""
        model = unwrap(runner.model)
        expected = _generator_weights(model.state_dict())
        if not expected:
            return
        file = runner._load_from or 'the checkpoint'
        config = getattr(runner.cfg, 'filename', None) or 'the config'
        weights = _weights_of(checkpoint)
        if weights is None:
            weights = _published_weights(runner, model, checkpoint, file)
            checkpoint['state_dict'] = weights
        if _guided(expected) and not _guided(weights):
            weights = self._start_guided(runner, weights, expected, file)
            checkpoint['state_dict'] = weights
        elif _guided(weights) and not _guided(expected):
            raise UserError(
                f'{file} holds a guided model ({_RESTORER}*) but {config} describes a plain '
                'restorer: use the guided (_sp) config of the same restorer'
            )
        check_fit(_generator_weights(weights), expected, file, config)

    @staticmethod
    def _start_guided(
        runner: Any, weights: Dict[str, Any], expected: Dict[str, Any], file: str
    ) -> Dict[str, Any]:
        if runner._resume:
            raise UserError(
                f'{file} holds a plain restorer and cannot be resumed as a guided model: start '
                f'from it with --cfg-options load_from={file} and without --resume'
            )
        # given with the file's, the model's own values spare MMEngine's list of missing keys
        added = {key: value for key, value in expected.items() if key.startswith(_ADDED)}
        runner.logger.warning(
            f'{file} holds a plain restorer: its weights are loaded into {_RESTORER}*, while the '
            f'{len(added)} weights of prior and embedding start from their initial values.'
        )
        restorer = {re.sub(r'^generator\.', _RESTORER, key): weights[key] for key in weights}
        return {**restorer, **added}


def _weights_of(checkpoint: Dict[str, Any]) -> Optional[Dict[str, Any]]:
    """Return a runner's weights without the prefix of a data-parallel wrapper, if there are any."""
    weights = checkpoint.get('state_dict')
    if not isinstance(weights, dict) or not any('generator.' in key for key in weights):
        return None
    return {re.sub(r'^module\.', '', key): value for key, value in weights.items()}


def _published_weights(
    runner: Any, model: Any, checkpoint: Dict[str, Any], file: str
) -> Dict[str, Any]:
    """Return the weights of a published file under the names of a plain restorer, for testing."""
    state = official_names(checkpoint, file)
    published = recognize(state)
    if published is None:
        raise UserError(
            f"{file} has no 'state_dict' with generator.* weights: load_from and --resume take "
            'checkpoints of tools/train.py, official weights are given by model.load_official'
        )
    if isinstance(runner._train_loop, BaseLoop):  # built, that is this is no test
        raise UserError(
            f'{file} holds published weights of {published.title} and is no checkpoint of '
            f'tools/train.py: start from it by --cfg-options model.load_official={file}'
        )
    restorer = getattr(model.generator, 'restorer', model.generator)
    fitting = fit_official(restorer, state, file, 'checkpoint')
    return {f'generator.{key}': value for key, value in fitting.items()}


def _generator_weights(weights: Dict[str, Any]) -> Dict[str, torch.Tensor]:
    return {key: value for key, value in weights.items() if key.startswith('generator.')}


def _guided(weights: Dict[str, Any]) -> bool:
    return any(key.startswith(_RESTORER) for key in weights)
