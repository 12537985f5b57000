"""Check the checkpoint files and weights that a Runner loads."""

import os
import re
from typing import Any, Dict, Optional

import torch
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop
from mmengine.runner.checkpoint import CheckpointLoader, _process_mmcls_checkpoint

from mmspd.errors import UserError
from mmspd.registry import HOOKS
from mmspd.utils.model_wrapper import unwrap
from mmspd.weights.containers import unwrap_state
from mmspd.weights.files import announce_weights, find_weights
from mmspd.weights.fit import check_fit
from mmspd.weights.loading import read_content
from mmspd.weights.official import fit_official, official_names, read_official
from mmspd.weights.published import recognize

__all__ = ['LoadCheckHook', 'load_local']

_RESTORER = 'generator.restorer.'
_ADDED = ('generator.prior.', 'generator.embedding.')


def load_local(filename: str, map_location: Optional[Any] = None) -> Any:
    """Load a checkpoint file without running code from the file.

    MMEngine calls this function for every path and address, also for those in ``init_cfg``. The
    SHA-256 of the file is checked and recorded, see :func:`~mmspd.weights.files.find_weights`.

    Args:
        filename: The file, its address, or a folder with the parts of published weights.
        map_location: Not used: the tensors stay on the CPU until they are copied into the model and
            the optimizer.

    Returns:
        The content of the checkpoint.

    Raises:
        UserError: The file is damaged, is not a checkpoint, or could run code; or it cannot be
            downloaded, or has another digest than its name.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import torch
        >>> from mmspd.engine import load_local
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, 'weights.pth')
        ...     torch.save({'state_dict': {'weight': torch.zeros(2)}}, file)
        ...     load_local(str(file))
        {'state_dict': {'weight': tensor([0., 0.])}}
    """
    is_address = '://' in filename
    file = filename if is_address else os.path.expanduser(filename)
    if os.path.isdir(file):  # the parts of published weights
        return dict(state_dict=read_official(file, 'checkpoint'))
    if not is_address and not os.path.isfile(file):
        raise FileNotFoundError(f'{file} can not be found.')
    content = read_content(str(find_weights(file, 'checkpoint')), 'checkpoint')
    if isinstance(content.get('meta'), dict):
        content['meta'].pop('config', None)  # MMEngine would run this text
    return _process_mmcls_checkpoint(content) if filename.startswith('mmcls://') else content


# MMEngine's own loaders check no digests and follow unencrypted addresses
CheckpointLoader.register_scheme([*CheckpointLoader._schemes], load_local, force=True)


@HOOKS.register_module()
class LoadCheckHook(Hook):
    """Checks that the ``generator`` weights of a checkpoint fit the model.

    If keys are missing or unexpected, or shapes differ, MMEngine writes a log line and continues.
    This hook raises an error. There is one exception: the checkpoint of a plain restorer can start
    a guided model. Then ``generator.X`` is loaded as ``generator.restorer.X``, the prior and the
    embedding keep their initial weights, and a warning is logged.

    The published weights of a restorer are accepted for testing. To start training from them, use
    ``load_official`` of the model.

    Models without a ``generator`` are not checked. Weights outside of the generator are not checked
    either, because parts such as the distillation heads are not built for testing.

    Raises:
        UserError: The weights do not fit. The message names the first keys, the file and the
            config.
    """

    # EMAHook (priority NORMAL) copies the weights of the checkpoint after this hook
    priority = 'HIGH'

    def before_train(self, runner: Any) -> None:
        """Log the weights files from which the model was initialized.

        Args:
            runner: MMEngine's runner.
        """
        announce_weights()

    def after_load_checkpoint(self, runner: Any, checkpoint: Dict[str, Any]) -> None:
        """Check the loaded weights and rename them for the model.

        Args:
            runner: MMEngine's runner.
            checkpoint: The loaded checkpoint. Its ``state_dict`` is changed in place.

        Raises:
            UserError: The weights do not fit.
        """
        announce_weights()
        model = unwrap(runner.model)
        expected = _generator_weights(model.state_dict())
        if not expected:
            return
        file = runner._load_from or 'the checkpoint'
        config = getattr(runner.cfg, 'filename', None) or 'the config'
        weights = unwrap_state(checkpoint, file)
        if not any(key.startswith('generator.') for key in weights):
            weights = _published_weights(runner, model, weights, file)
        checkpoint['state_dict'] = weights
        if _guided(expected) and not _guided(weights):
            weights = self._start_guided(runner, weights, expected, file)
            checkpoint['state_dict'] = weights
        elif _guided(weights) and not _guided(expected):
            raise UserError(
                f'{file} holds a guided model ({_RESTORER}*), but {config} describes a plain '
                'restorer; use the guided (_sp) config of the same restorer.'
            )
        check_fit(_generator_weights(weights), expected, file, config)

    @staticmethod
    def _start_guided(
        runner: Any, weights: Dict[str, Any], expected: Dict[str, Any], file: str
    ) -> Dict[str, Any]:
        if runner._resume:
            raise UserError(
                f'{file} holds a plain restorer and cannot be resumed as a guided model; remove '
                f'--resume and start from it with --cfg-options load_from={file}.'
            )
        # without the added weights, MMEngine would log a long list of missing keys
        added = {key: value for key, value in expected.items() if key.startswith(_ADDED)}
        runner.logger.warning(
            f'{file} holds a plain restorer, so its weights are loaded into {_RESTORER}*, and the '
            f'{len(added)} weights of prior and embedding start from their initial values.'
        )
        restorer = {re.sub(r'^generator\.', _RESTORER, key): weights[key] for key in weights}
        return {**restorer, **added}


def _published_weights(
    runner: Any, model: Any, weights: Dict[str, Any], file: str
) -> Dict[str, Any]:
    """Return published weights for testing, renamed for the model of a plain restorer."""
    state = official_names(weights, file)
    published = recognize(state)
    if published is None:
        raise UserError(
            f"{file} has no 'state_dict' with generator.* weights; set load_from or --resume to a "
            'checkpoint of mmspd train, or load official weights with model.load_official.'
        )
    if isinstance(runner._train_loop, BaseLoop):  # the loop is built for training only
        raise UserError(
            f'{file} holds published weights of {published.title} and is not a checkpoint of '
            f'mmspd train; start from it with --cfg-options model.load_official={file}.'
        )
    restorer = getattr(model.generator, 'restorer', model.generator)
    fitting = fit_official(restorer, state, file, 'checkpoint')
    return {f'generator.{key}': value for key, value in fitting.items()}


def _generator_weights(weights: Dict[str, Any]) -> Dict[str, torch.Tensor]:
    return {key: value for key, value in weights.items() if key.startswith('generator.')}


def _guided(weights: Dict[str, Any]) -> bool:
    return any(key.startswith(_RESTORER) for key in weights)
