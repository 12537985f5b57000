"""Check the values of a config before anything is built from it."""

import difflib
import importlib.util
import math
import re
from fnmatch import fnmatchcase, translate
from typing import Any, Callable, Iterator, NamedTuple, Tuple

from mmengine.config import Config

from mmspd.errors import UsageError
from mmspd.registry import METRICS

__all__ = ['check_config', 'check_groups', 'require_keys']


class _Rule(NamedTuple):
    """A set of allowed values and its description for the message."""

    allows: Callable[[Any], bool]
    words: str

    def or_none(self) -> '_Rule':
        return _Rule(lambda value: value is None or self.allows(value), f'{self.words} or None')


def _number(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def _whole(least: int) -> _Rule:
    def allows(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value >= least

    return _Rule(allows, f'a whole number of {least} or more')


def _one_of(*values: Any) -> _Rule:
    return _Rule(lambda value: value in values, f'one of {", ".join(map(str, values))}')


_FLAG = _Rule(lambda value: isinstance(value, bool), 'True or False')
_TEXT = _Rule(lambda value: isinstance(value, str) and value.strip() != '', 'text')
_PATH = _Rule(
    lambda value: isinstance(value, str) and value.strip() != '' and '\0' not in value, 'a path'
)
_DICT = _Rule(lambda value: isinstance(value, dict), 'a dict')
_LIST = _Rule(lambda value: isinstance(value, (list, tuple)), 'a list')
_STEPS = _Rule(lambda value: _LIST.allows(value) and len(value) > 0, 'a list of transforms')
_FINITE = _Rule(_number, 'a finite number')
_NOT_NEGATIVE = _Rule(lambda value: _number(value) and value >= 0, 'a finite number of 0 or more')
_POSITIVE = _Rule(lambda value: _number(value) and value > 0, 'a finite number greater than 0')
_SHARE = _Rule(lambda value: _number(value) and 0 <= value <= 1, 'a number from 0 to 1')
_SEED = _Rule(
    lambda value: _whole(0).allows(value) and value < 2**32, 'a whole number from 0 to 2**32 - 1'
)
_WHOLE_OR_MINUS_ONE = _Rule(
    lambda value: _whole(1).allows(value) or value == -1, 'a whole number of 1 or more, or -1'
)
_CROP = _Rule(
    lambda value: all(map(_whole(1).allows, value if isinstance(value, list) else [value])),
    'a whole number of 1 or more, or a list of them',
)
_SCOPE = _Rule(
    lambda value: (
        isinstance(value, str)
        and value.isidentifier()
        and importlib.util.find_spec(value) is not None
    ),
    'the name of an installed package',
)
#: Arguments of ``torch.nn.utils.clip_grad_norm_`` and ``clip_grad_value_``, the required one first.
_CLIP_ARGUMENTS = {
    'norm': ('max_norm', 'norm_type', 'error_if_nonfinite', 'foreach'),
    'value': ('clip_value', 'foreach'),
}


def _clips(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    arguments = _CLIP_ARGUMENTS.get(str(value.get('type', 'norm')), ())
    return bool(arguments) and arguments[0] in value and {*value} <= {'type', *arguments}


_CLIP = _Rule(_clips, 'a dict with max_norm, or with type="value" and clip_value')
_LEVEL = _one_of('DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL')

_LOADER_RULES = {
    '': _DICT.or_none(),
    '.dataset': _DICT,
    '.sampler': _DICT,
    '.batch_size': _whole(1),
    '.num_workers': _whole(0),
    '.prefetch_factor': _whole(1).or_none(),
    '.persistent_workers': _FLAG,
    '.drop_last': _FLAG,
    '.pin_memory': _FLAG,
    '.sampler.seed': _SEED.or_none(),
    '.sampler.shuffle': _FLAG,
    '.sampler.round_up': _FLAG,
    '.*data_root': _PATH,
    '.*packed': _PATH,
    '.*pipeline': _STEPS,
    '.*gt_patch_size': _CROP.or_none(),
    '.*flip_ratio': _SHARE,
    '.*transpose_ratio': _SHARE,
}
_SPLITS = ('train', 'val', 'test')
#: Keys that need each other.
_GROUPS = (
    ('train_dataloader', 'train_cfg', 'optim_wrapper'),
    ('val_dataloader', 'val_cfg', 'val_evaluator'),
    ('test_dataloader', 'test_cfg', 'test_evaluator'),
)

#: Patterns of dotted keys, and the values that these keys may have.
_RULES = {
    **{
        f'{split}_dataloader{key}': rule for split in _SPLITS for key, rule in _LOADER_RULES.items()
    },
    'model': _DICT.or_none(),
    'model.losses': _DICT,
    'model.teacher': _DICT.or_none(),
    'model.prior_loss': _DICT.or_none(),
    'model.discriminators': _DICT,
    'model.adversarial_loss': _DICT,
    'model.adversarial_weight': _FINITE,
    'model.test_cfg': _DICT.or_none(),
    'model.channels_last': _FLAG,
    'model.teacher_stream': _FLAG,
    'model.load_official': _PATH.or_none(),
    'model.*.width': _whole(1),
    'model.*with_cp': _FLAG,
    'model.*normalize': _FLAG,
    'train_cfg': _DICT.or_none(),
    'train_cfg.by_epoch': _FLAG,
    'train_cfg.max_epochs': _whole(1),
    'train_cfg.max_iters': _whole(1),
    'train_cfg.val_begin': _whole(0),
    'train_cfg.val_interval': _whole(1),
    'val_cfg': _DICT.or_none(),
    'val_cfg.fp16': _FLAG,
    'test_cfg.fp16': _FLAG,
    'test_cfg': _DICT.or_none(),
    'optim_wrapper': _DICT.or_none(),
    'optim_wrapper.optimizer': _DICT,
    'optim_wrapper.optimizer.lr': _NOT_NEGATIVE,
    'optim_wrapper.optimizer.weight_decay': _NOT_NEGATIVE,
    'optim_wrapper.accumulative_counts': _whole(1),
    'optim_wrapper.clip_grad': _CLIP.or_none(),
    'optim_wrapper.clip_grad.max_norm': _POSITIVE,
    'optim_wrapper.clip_grad.norm_type': _POSITIVE,
    'optim_wrapper.clip_grad.clip_value': _POSITIVE,
    'param_scheduler.T_max': _whole(1),
    'param_scheduler.*.T_max': _whole(1),
    'param_scheduler*.begin': _whole(0),
    'param_scheduler*.end': _whole(1),
    'param_scheduler*.eta_min': _NOT_NEGATIVE,
    'param_scheduler*.by_epoch': _FLAG,
    'model.*loss_weight': _FINITE,
    'auto_scale_lr': _DICT.or_none(),
    'auto_scale_lr.enable': _FLAG,
    'auto_scale_lr.base_batch_size': _whole(1),
    'default_hooks': _DICT.or_none(),
    'default_hooks.logger.interval': _whole(1),
    'default_hooks.convolutions.tf32': _FLAG,
    'default_hooks.checkpoint.by_epoch': _FLAG,
    'default_hooks.checkpoint.interval': _WHOLE_OR_MINUS_ONE,
    'default_hooks.checkpoint.max_keep_ckpts': _WHOLE_OR_MINUS_ONE,
    'custom_hooks': _LIST.or_none(),
    'custom_imports': _DICT.or_none(),
    'default_scope': _SCOPE.or_none(),
    'env_cfg': _DICT,
    'env_cfg.cudnn_benchmark': _FLAG.or_none(),
    'env_cfg.dist_cfg': _DICT,
    'env_cfg.mp_cfg': _DICT,
    'env_cfg.mp_cfg.mp_start_method': _one_of('fork', 'forkserver', 'spawn'),
    'experiment_name': _TEXT.or_none(),
    'launcher': _one_of('none', 'pytorch', 'slurm', 'mpi'),
    'load_from': _PATH.or_none(),
    'log_level': _LEVEL,
    'log_processor': _DICT,
    'log_processor.by_epoch': _FLAG,
    'log_processor.window_size': _whole(1),
    'model_wrapper_cfg': _DICT.or_none(),
    'randomness': _DICT,
    'randomness.seed': _SEED.or_none(),
    'randomness.deterministic': _FLAG,
    'randomness.diff_rank_seed': _FLAG,
    'resume': _FLAG,
    'sync_bn': _one_of('torch', 'mmcv').or_none(),
    '*_evaluator.*.report_input': _FLAG,
    'visualizer': _DICT.or_none(),
    'visualizer.vis_backends': _LIST.or_none(),
    'work_dir': _PATH.or_none(),
}
_CHECKED = re.compile('|'.join(map(translate, _RULES)))


def check_config(config: Config) -> None:
    """Check the values of the known keys of a config.

    Args:
        config: The config. Missing and unknown keys are allowed.

    Raises:
        UsageError: A value has a wrong type or is out of range. The message names the key.
    """
    for key, value in _walk(config):
        if not _CHECKED.match(key):  # most keys
            continue
        for pattern, rule in _RULES.items():
            if fnmatchcase(key, pattern) and not rule.allows(value):
                raise UsageError(f'{key}={value!r} is not {rule.words}; correct this value.')
    _check_metrics(config)
    _check_optimizer(config)


def check_groups(config: Config) -> None:
    """Check that the keys of a runner which need each other are all set, or none.

    Args:
        config: The config of a runner.

    Raises:
        UsageError: A key is set, but a key that it needs is not.
    """
    for group in _GROUPS:
        if any(key in config for key in group):
            lacking = [key for key in group if config.get(key) is None]
            if 0 < len(lacking) < len(group):
                present = next(key for key in group if key not in lacking)
                raise UsageError(
                    f'{present} is set, but {" and ".join(lacking)} is not; set all of '
                    f'{", ".join(group)}, or none.'
                )
    scale = config.get('auto_scale_lr') or {}
    if scale.get('enable') and scale.get('base_batch_size') is None:
        raise UsageError(
            'auto_scale_lr.enable=True needs auto_scale_lr.base_batch_size; set it to the total '
            'batch size for which the learning rate was chosen.'
        )


def _check_metrics(config: Config) -> None:
    """Check that MMEngine's evaluator, which most recipes use, can run the metrics."""
    for key in (f'{split}_evaluator' for split in _SPLITS):
        evaluator = config.get(key)
        if not isinstance(evaluator, dict) or evaluator.get('type') != 'mmengine.Evaluator':
            continue
        metrics = evaluator.get('metrics')
        if not isinstance(metrics, (dict, list, tuple)):
            raise UsageError(f'{key}.metrics={metrics!r} is not a list; correct this value.')
        for number, metric in enumerate([metrics] if isinstance(metrics, dict) else metrics):
            kind = metric.get('type') if isinstance(metric, dict) else None
            scope, _, name = kind.rpartition('.') if isinstance(kind, str) else ('other', '', '')
            if scope in ('', 'mmagic') and METRICS.get(f'mmspd.{name}') is not None:
                raise UsageError(
                    f"{key}.metrics.{number}.type={kind!r} is MMagic's {name}, which "
                    f"mmengine.Evaluator cannot run; set it to 'mmspd.{name}'."
                )


def _check_optimizer(config: Config) -> None:
    """Check the name of the optimizer, for which MMEngine's error has no name."""
    from mmengine.optim import OPTIMIZERS  # imported here, so that --help is fast

    optimizer = (config.get('optim_wrapper') or {}).get('optimizer') or {}
    name = optimizer.get('type')
    if isinstance(name, str) and OPTIMIZERS.get(name) is None:
        close = difflib.get_close_matches(name, OPTIMIZERS.module_dict, n=3)
        hint = f' (similar names: {", ".join(close)})' if close else ''
        raise UsageError(
            f'optim_wrapper.optimizer.type={name!r} is not an optimizer; check its spelling{hint}.'
        )


def require_keys(config: Config, *keys: str) -> None:
    """Check that a config has the keys that a tool needs.

    Args:
        config: The config.
        *keys: Dotted keys, such as ``'model.generator'``.

    Raises:
        UsageError: The config lacks a key, or its value is ``None``.

    Examples:
        >>> from mmengine.config import Config
        >>> from mmspd.utils.config_check import require_keys
        >>> require_keys(Config(dict(model=dict(type='mmspd.UNet'))), 'model.type')
    """
    for key in keys:
        value: Any = config
        for name in key.split('.'):
            value = value.get(name) if isinstance(value, (dict, Config)) else None
        if value is None:
            raise UsageError(
                f'{config.filename or "The config"} has no {key}; add it, or use the config of a '
                'recipe.'
            )


def _walk(value: Any, prefix: str = '') -> Iterator[Tuple[str, Any]]:
    """Yield the dotted keys and the values of a config, outer values first."""
    items: Any = value.items() if isinstance(value, (dict, Config)) else enumerate(value)
    for name, each in items:
        yield f'{prefix}{name}', each
        if isinstance(each, (dict, list, tuple)):
            yield from _walk(each, f'{prefix}{name}.')
