"""Apply or refuse the options that changed since a resumed run saved its checkpoint."""

import json
import re
from typing import Any, Dict, Iterator, List, Optional, Tuple

from mmengine.dist import get_world_size
from mmengine.hooks import EMAHook, Hook

from mmspd.engine.config_changes import Change, Effect, effect_of, find_changes, find_old_ends
from mmspd.engine.schedule_replay import can_replay, group_sizes, replay_schedule
from mmspd.errors import UserError
from mmspd.registry import HOOKS
from mmspd.utils.json_text import parse_json
from mmspd.utils.model_wrapper import unwrap

__all__ = ['ResumeCheckHook']

# Key in the meta data of a checkpoint. The record is text, because a checkpoint must not hold
# objects of a config. It is JSON, because MMEngine's text of the config is code.
_RECORD = 'run_record'
_IMAGES = 'the number of training images'


@HOOKS.register_module()
class ResumeCheckHook(Hook):
    """Compares the config of a resumed run with the config in its checkpoint.

    MMEngine restores the old schedule and the old arguments of the optimizer, and ignores the
    changed ones. This hook applies a change if the result is exact, and logs it:

    * Parts without a state in the checkpoint, such as losses and the data pipeline, change from
      this step on.
    * The learning rate, its schedule, the number of epochs and the arguments of the optimizer are
      computed again. They continue as in a run that had the new config from its first step.

    All other changes that affect the weights are refused. Examples are another network, optimizer,
    batch size, seed or number of processes.

    Raises:
        UserError: A change is refused. The message names the changed keys.
    """

    # before the hooks that read the weights, because a changed key explains why they do not fit
    priority = 'VERY_HIGH'

    def before_save_checkpoint(self, runner: Any, checkpoint: Dict[str, Any]) -> None:
        """Store the config and the sizes of the run.

        Args:
            runner: MMEngine's runner.
            checkpoint: The checkpoint to save, changed in place.
        """
        checkpoint['meta'][_RECORD] = json.dumps(_record(runner))

    def after_load_checkpoint(self, runner: Any, checkpoint: Dict[str, Any]) -> None:
        """Find the changed options, refuse some of them and apply the others.

        Args:
            runner: MMEngine's runner.
            checkpoint: The loaded checkpoint. Its learning rates are changed in place.

        Raises:
            UserError: An option changed that cannot be applied.
        """
        meta = checkpoint.get('meta')
        if not isinstance(meta, dict):
            return
        meta.pop('config', None)  # MMEngine would execute this text
        if not runner._resume:
            return
        found = _changes(meta, _record(runner))
        if found is None:
            runner.logger.warning(
                f'{runner._load_from} has no record of the options of its run, so changed options '
                'are not checked.'
            )
            return
        changes, refused = found
        refused += _changed_state(runner, checkpoint)
        images_differ = any(change.key == _IMAGES for change in refused)
        refused += [
            change
            for change in changes
            if (images_differ and change.key.startswith('train_dataloader.dataset'))
            or _is_refused(change, runner, checkpoint)
        ]
        if refused:
            raise UserError(
                f'A resumed run cannot change {", ".join(map(str, refused))}; resume with the '
                'options of the first command, or start a new run from the weights with --work-dir '
                f'NEW --cfg-options load_from={runner._load_from}.'
            )
        _apply(changes, runner, checkpoint)


def _plain(value: Any) -> str:
    """Return the name of a class, a function, or the class of another object."""
    part = value if hasattr(value, '__qualname__') else type(value)
    return f'{part.__module__}.{part.__qualname__}'


def _record(runner: Any) -> Dict[str, Any]:
    """Return the config and the sizes of a run as values of JSON."""
    dataset = runner.train_dataloader.dataset
    images = len(dataset) if hasattr(dataset, '__len__') else None
    sizes = {_IMAGES: images, 'the number of processes': get_world_size()}
    text = json.dumps(dict(config=runner.cfg.to_dict(), sizes=sizes), default=_plain, skipkeys=True)
    return json.loads(text)


def _changes(
    meta: Dict[str, Any], current: Dict[str, Any]
) -> Optional[Tuple[List[Change], List[Change]]]:
    """Compare the record in a checkpoint with this run.

    Returns:
        The changes of the config and of the sizes, or None if there is no valid record.
    """
    try:
        saved = parse_json(meta[_RECORD])
        config, sizes = dict(saved['config']), dict(saved['sizes'])
        return [*find_changes(config, current['config'])], [*find_changes(sizes, current['sizes'])]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


def _changed_state(runner: Any, checkpoint: Dict[str, Any]) -> Iterator[Change]:
    """Yield the changes of the seed and of the averaging, which the checkpoint itself shows."""
    seed, saved = runner._randomness_cfg.get('seed'), checkpoint['meta'].get('seed')
    if None not in (seed, saved) and seed != saved:
        yield Change('randomness.seed', saved, seed)
    averages = 'ema_state_dict' in checkpoint, any(isinstance(h, EMAHook) for h in runner.hooks)
    if averages[0] != averages[1]:
        yield Change('the averaging of weights (EMAHook)', *averages)


def _is_refused(change: Change, runner: Any, checkpoint: Dict[str, Any]) -> bool:
    effect, meta = effect_of(change), checkpoint['meta']
    if effect in (Effect.FREE, Effect.REFUSED):
        return effect is Effect.REFUSED
    if change.key.endswith('accumulative_counts'):
        return meta['iter'] % (change.new or 1) != 0  # the sum of gradients would be incomplete
    if effect is Effect.RECOMPUTED and not can_replay(runner, meta['epoch'], meta['iter']):
        return True
    may_change_weights = re.match(r'model\.|optim_wrapper\..*paramwise_cfg', change.key)
    return may_change_weights is not None and not _fits(runner, checkpoint)


def _fits(runner: Any, checkpoint: Dict[str, Any]) -> bool:
    """Return whether model and optimizer have the parameters of the checkpoint."""
    stored, current = checkpoint['state_dict'], unwrap(runner.model).state_dict()
    if _shapes(stored) != _shapes(current):
        return False
    return all(old == new for old, new in group_sizes(runner, checkpoint))


def _shapes(weights: Dict[str, Any]) -> Dict[str, Any]:
    return {
        re.sub(r'^module\.', '', key): getattr(weight, 'shape', None)
        for key, weight in weights.items()
    }


def _apply(changes: List[Change], runner: Any, checkpoint: Dict[str, Any]) -> None:
    """Log the changes, and compute the schedule again if one of them affects it."""
    effects = [effect_of(change) for change in changes]
    for change, effect in zip(changes, effects):
        if effect is not Effect.FREE:
            runner.logger.info(f'The resumed run changes {change}.')
        if change.key in ('train_cfg.max_epochs', 'train_cfg.max_iters'):
            for end in find_old_ends(runner.cfg, change.old):
                runner.logger.warning(
                    f'{change.key} is now {change.new}, but {end} still ends a schedule at '
                    f'{change.old}; change this key too.'
                )
    if Effect.RECOMPUTED in effects:
        meta = checkpoint['meta']
        replay_schedule(runner, checkpoint, meta['epoch'], meta['iter'])
        runner.logger.info(
            'The learning rate continues as in a run that had these values from its first step.'
        )
