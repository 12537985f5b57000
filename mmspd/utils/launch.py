"""What training and testing tools share: their common arguments and the config made of them."""

import argparse
import difflib
import inspect
import os
from pathlib import Path
from typing import Any, Dict

from mmengine.config import Config, DictAction

from mmspd.errors import UserError

__all__ = [
    'add_cfg_options',
    'add_common_arguments',
    'check_file',
    'merge_options',
    'prepare_config',
    'read_config',
]

# Keys that the Runner reads from the config without being an argument of its constructor.
# activation_checkpointing is missing: MMEngine's version of it loses gradients silently; and so is
# compile, which compiles the whole training step, optimizer and log included.
_RUNNER_KEYS = ('custom_imports', 'efficient_conv_bn_eval', 'model_wrapper_cfg', 'sync_bn')


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that training and testing have in common."""
    parser.add_argument('config', help='config file, e.g. configs/spd/mimounet_sp_gopro.py')
    parser.add_argument('--work-dir', help='folder for logs and checkpoints')
    add_cfg_options(parser)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='how the processes of a distributed run were started (see dist_train.sh)',
    )
    # torch.distributed.launch passes it, with either spelling; torchrun sets LOCAL_RANK itself
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)


class _KeyValue(DictAction):
    """MMEngine's action, with a sentence for what is not KEY=VALUE."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        wrong = [value for value in values if '=' not in value]
        if wrong:
            parser.error(f'--cfg-options wants KEY=VALUE, but got {wrong[0]!r}')
        super().__call__(parser, namespace, values, option_string)


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options KEY=VALUE ...``."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=_KeyValue,
        metavar='KEY=VALUE',
        help='change config values, e.g. train_dataloader.batch_size=2 '
        'optim_wrapper.optimizer.lr=1e-4',
    )


def check_file(path: str, what: str) -> str:
    """Return ``path`` if it is a file.

    Raises:
        UserError: If it is not; with similar names of its folder.
    """
    file = Path(path)
    if file.is_file():
        return path
    if file.is_dir():
        raise UserError(f'the {what} {path} is a folder: name the file in it')
    names = [entry.name for entry in file.parent.glob('*')] if file.parent.is_dir() else []
    close = difflib.get_close_matches(file.name, names, n=3)
    hint = f', did you mean {" or ".join(str(file.parent / name) for name in close)}?'
    raise UserError(f'the {what} {path} does not exist{hint if close else ""}')


def read_config(path: str, options: Dict[str, Any]) -> Config:
    """Read a config file and apply ``--cfg-options`` to it.

    Raises:
        UserError: If the file is missing or no valid config, or an option has no place in it.
    """
    check_file(path, 'config')
    try:
        config = Config.fromfile(path)
    except Exception as error:  # a config is a program and may raise anything
        raise UserError(f'{path} is not a valid config: {error}') from error
    merge_options(config, options, path)
    return config


def merge_options(config: Config, options: Dict[str, Any], path: str) -> None:
    """Apply ``--cfg-options`` to a config.

    Args:
        config: It is changed.
        options: Values by dotted key.
        path: The config's file, for the errors.

    Raises:
        UserError: An option has no place in it.
    """
    from mmengine.runner import Runner  # late: --help should not wait for it

    known = {*config, *_RUNNER_KEYS, *inspect.signature(Runner).parameters}
    for key in options:
        top = key.partition('.')[0]
        if top not in known:
            close = difflib.get_close_matches(top, sorted(known), n=1)
            hint = f', did you mean {close[0]!r}?' if close else ''
            raise UserError(f'--cfg-options {key}: {path} has no key {top!r}{hint}')
    try:
        config.merge_from_dict(options)
    except (KeyError, TypeError, IndexError) as error:
        raise UserError(f'--cfg-options does not fit {path}: {error}') from error
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if (config.get(loader) or {}).get('num_workers') == 0:
            config[loader].persistent_workers = False  # PyTorch refuses to keep no workers alive


def prepare_config(args: argparse.Namespace) -> Config:
    """Make the Runner's config of the common arguments.

    The work folder is ``--work-dir``, else the config's, else ``work_dirs/<config's name>``.

    Raises:
        UserError: See :func:`read_config`.
    """
    # MMEngine places the model by LOCAL_RANK alone, which Open MPI does not set
    local_rank = os.environ.get('OMPI_COMM_WORLD_LOCAL_RANK', str(args.local_rank))
    os.environ.setdefault('LOCAL_RANK', local_rank)
    config = read_config(args.config, args.cfg_options or {})
    if config.get('compile'):
        raise UserError(
            f'compile at the top of {args.config} would compile the optimizer and the log too: '
            'set model.compile instead'
        )
    config.launcher = args.launcher
    if args.work_dir is not None:
        config.work_dir = args.work_dir
    elif config.get('work_dir') is None:
        config.work_dir = str(Path('work_dirs', Path(args.config).stem))
    try:
        Path(config.work_dir).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f'the work folder {config.work_dir} cannot be made ({error.strerror}): set --work-dir'
        ) from error
    return config
