"""Compare the config of a resumed run with the config of the run that saved the checkpoint."""

import re
from enum import Enum
from typing import Any, Dict, Iterator, NamedTuple, Tuple

__all__ = ['Change', 'Effect', 'effect_of', 'find_changes', 'find_old_ends']

_MAX_TEXT = 60


class Effect(Enum):
    """The effect of a changed key on a resumed run."""

    #: The key does not affect the weights.
    FREE = 'free'
    #: The key has no state in the checkpoint: the new value holds from this step on.
    APPLIED = 'applied'
    #: The schedule is computed again from its first step.
    RECOMPUTED = 'recomputed'
    #: The state in the checkpoint does not fit the new value.
    REFUSED = 'refused'


class Change(NamedTuple):
    """A value that differs between two configs; ``None`` for a missing key."""

    key: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f'{self.key} from {_short(self.old)} to {_short(self.new)}'


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_TEXT else f'{text[: _MAX_TEXT - 3]}...'


# With several optimizers, optim_wrapper has one more level with the names of the optimizers.
_WRAPPER = r'optim_wrapper(\.\w+)?'

# Patterns of keys; the first pattern that matches the whole key decides. Keys without a match do
# not affect the weights.
_RULES = (
    (
        Effect.FREE,
        r'train_dataloader\.(num_workers|persistent_workers|pin_memory|prefetch_factor|timeout|'
        r'worker_init_fn|multiprocessing_context)(\..*)?',
    ),
    (Effect.FREE, r'train_cfg\.(val_begin|val_interval|dynamic_intervals)(\..*)?'),
    (
        Effect.FREE,
        r'model\.(load_official|test_cfg|train_cfg|channels_last|compile|teacher_stream)(\..*)?',
    ),
    # the last two keys state initial weights, which the checkpoint replaces
    (Effect.FREE, r'model\.generator\.(.*\.)?(with_cp|init_cfg|weights)(\..*)?'),
    (Effect.APPLIED, r'train_dataloader\.(dataset|collate_fn)(\..*)?'),
    (
        Effect.APPLIED,
        r'model\.(\w*loss\w*|adversarial_weight|teacher|teacher_sees|multi_scale_targets)(\..*)?',
    ),
    (
        Effect.APPLIED,
        rf'{_WRAPPER}\.(clip_grad|accumulative_counts|optimizer\.(fused|foreach))(\..*)?',
    ),
    (Effect.APPLIED, r'(custom_hooks|sync_bn|efficient_conv_bn_eval)(\..*)?'),
    (Effect.APPLIED, r'default_hooks\.\w+(\.type|\.iterations)?'),
    (Effect.RECOMPUTED, r'train_cfg\.(max_epochs|max_iters)'),
    (Effect.RECOMPUTED, r'(param_scheduler|auto_scale_lr)(\..*)?'),
    (Effect.RECOMPUTED, rf'{_WRAPPER}\.optimizer\.(lr|weight_decay|betas|eps|momentum)(\..*)?'),
    (Effect.RECOMPUTED, rf'{_WRAPPER}\.paramwise_cfg(\..*)?'),
    (Effect.REFUSED, r'(model|data_preprocessor|train_dataloader|train_cfg|optim_wrapper)(\..*)?'),
    (Effect.REFUSED, r'randomness\.diff_rank_seed'),
)


def effect_of(change: Change) -> Effect:
    """Look up the effect of a change on a resumed run.

    Args:
        change: A change of the config.

    Returns:
        The effect.

    Examples:
        >>> from mmspd.engine.config_changes import Change, effect_of
        >>> effect_of(Change('train_dataloader.num_workers', 4, 8)).value
        'free'
        >>> effect_of(Change('model.prior_loss.loss_weight', 0.1, 1.0)).value
        'applied'
        >>> effect_of(Change('train_cfg.max_epochs', 100, 200)).value
        'recomputed'
        >>> effect_of(Change('train_dataloader.batch_size', 4, 8)).value
        'refused'
    """
    if change.key.endswith('optimizer.momentum') and not (change.old and change.new):
        return Effect.REFUSED  # without momentum, the optimizer has no buffers
    matches = (effect for effect, pattern in _RULES if re.fullmatch(pattern, change.key))
    return next(matches, Effect.FREE)


def find_changes(old: Any, new: Any, key: str = '') -> Iterator[Change]:
    """Compare two configs.

    If the type of a part differs, only the type is reported, because its other keys do not compare.

    Args:
        old: The previous config, as plain dicts and lists.
        new: The current config.
        key: The dotted key of the part that is compared; empty for the whole config.

    Yields:
        The changes, sorted by key.

    Examples:
        >>> from mmspd.engine.config_changes import find_changes
        >>> old = dict(train_cfg=dict(max_epochs=2), load_from=None)
        >>> new = dict(train_cfg=dict(max_epochs=4))
        >>> [str(change) for change in find_changes(old, new)]
        ['train_cfg.max_epochs from 2 to 4']
    """
    if isinstance(old, dict) and isinstance(new, dict):
        types = old.get('type'), new.get('type')
        names = sorted({*old, *new}) if types[0] == types[1] else ['type']
        for name in names:
            path = f'{key}.{name}' if key else name
            yield from find_changes(old.get(name), new.get(name), path)
    elif _are_lists_of_dicts(old, new):
        for number, pair in enumerate(zip(old, new)):
            yield from find_changes(*pair, f'{key}.{number}')
    elif old != new and repr(old) != repr(new):  # NaN differs from itself
        yield Change(key, old, new)


def _are_lists_of_dicts(old: Any, new: Any) -> bool:
    """Return whether both values are lists of dicts of equal length."""
    if not (isinstance(old, list) and isinstance(new, list) and len(old) == len(new)):
        return False
    return all(isinstance(part, dict) for part in [*old, *new])


def find_old_ends(config: Dict[str, Any], old_length: int) -> Iterator[str]:
    """Find the schedulers that still end with the old number of epochs or iterations.

    Args:
        config: The current config, with a changed number of epochs or iterations.
        old_length: The previous number.

    Yields:
        The keys, with their values.

    Examples:
        >>> from mmspd.engine.config_changes import find_old_ends
        >>> config = dict(param_scheduler=[dict(type='CosineAnnealingLR', begin=3, T_max=97)])
        >>> list(find_old_ends(config, 100))
        ['param_scheduler.0.T_max=97']
    """
    for path, part in _dicts('param_scheduler', config.get('param_scheduler')):
        begin = part.get('begin') or 0
        for key, start in (('T_max', begin), ('total_steps', begin), ('end', 0), ('max_epochs', 0)):
            if part.get(key) is not None and start + part[key] == old_length:
                yield f'{path}.{key}={part[key]}'


def _dicts(path: str, value: Any) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Yield a dict and all dicts in it with their dotted keys."""
    if isinstance(value, dict):
        yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value or [])
    for key, part in items:
        if isinstance(part, (dict, list)):
            yield from _dicts(f'{path}.{key}', part)
