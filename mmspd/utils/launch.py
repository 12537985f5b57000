"""Common arguments of the training and testing tools, and functions that read configs."""

import argparse
import difflib
import os
from pathlib import Path
from typing import Any, Dict

from mmengine.config import Config, DictAction

from mmspd.errors import UserError
from mmspd.utils.config_names import check_names, check_options, runner_keys

__all__ = [
    'add_cfg_options',
    'add_common_arguments',
    'check_file',
    'merge_options',
    'prepare_config',
    'read_config',
]


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the common arguments of training and testing to a parser."""
    parser.add_argument('config', help='config file, e.g. configs/spd/mimounet_sp_gopro.py')
    parser.add_argument(
        '--work-dir',
        help='folder for logs and checkpoints (default: work_dir of the config, or else '
        'work_dirs/<name of the config>)',
    )
    add_cfg_options(parser)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='launcher that started the processes of a distributed run (see tools/dist_train.sh)',
    )
    # torch.distributed.launch passes this argument in either spelling; torchrun sets LOCAL_RANK
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)


class _KeyValue(DictAction):
    """Extends MMEngine's action with a message for arguments that are not ``KEY=VALUE``."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        wrong = [value for value in values if '=' not in value]
        if wrong:
            parser.error(f'--cfg-options got {wrong[0]!r}; write KEY=VALUE.')
        super().__call__(parser, namespace, values, option_string)


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add the argument ``--cfg-options KEY=VALUE ...`` to a parser."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=_KeyValue,
        metavar='KEY=VALUE',
        help='config values to change, e.g. train_dataloader.batch_size=2 '
        'optim_wrapper.optimizer.lr=1e-4',
    )


def check_file(path: str, what: str) -> str:
    """Check that a path is a file, and return it.

    Args:
        path: The path.
        what: Kind of the file for the message, such as ``'checkpoint'``.

    Returns:
        ``path``, unchanged.

    Raises:
        UserError: The path is not a file. The message suggests similar names from its folder.
    """
    file = Path(path)
    if file.is_file():
        return path
    if file.is_dir():
        raise UserError(f'The {what} {path} is a folder; give a file in this folder.')
    names = [entry.name for entry in file.parent.glob('*')] if file.parent.is_dir() else []
    close = difflib.get_close_matches(file.name, names, n=3)
    hint = f' (similar names: {", ".join(str(file.parent / name) for name in close)})'
    raise UserError(f'The {what} {path} does not exist; check the path{hint if close else ""}.')


def read_config(path: str, options: Dict[str, Any]) -> Config:
    """Read a config file and apply ``--cfg-options`` to it.

    Args:
        path: The config file.
        options: A dict from dotted keys to values.

    Returns:
        The config with the options.

    Raises:
        UserError: The file does not exist or is not a valid config, or an option does not fit the
            config.

    Examples:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from mmspd.utils.launch import read_config
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, 'unet.py')
        ...     _ = path.write_text("model = dict(type='mmspd.UNet', base=32)")
        ...     config = read_config(str(path), {'model.base': 4})
        >>> config.model
        {'type': 'mmspd.UNet', 'base': 4}
    """
    check_file(path, 'config')
    try:
        config = Config.fromfile(path)
    except Exception as error:  # a config is Python code and may raise any exception
        raise UserError(f'{path} is not a valid config ({error}); correct it.') from error
    check_names(config, path)
    check_options(config, options, path)
    merge_options(config, options, path)
    return config


def merge_options(config: Config, options: Dict[str, Any], path: str) -> None:
    """Apply ``--cfg-options`` to a config.

    Args:
        config: Config to change, in place.
        options: A dict from dotted keys to values.
        path: File of the config, for error messages.

    Raises:
        UserError: An option does not fit the config.
    """
    known = {*config, *runner_keys()}
    for key in options:
        top = key.partition('.')[0]
        if top not in known:
            close = difflib.get_close_matches(top, sorted(known), n=1)
            hint = f' (similar key: {close[0]!r})' if close else ''
            raise UserError(
                f'--cfg-options {key}: {path} has no key {top!r}; check its spelling{hint}.'
            )
    try:
        config.merge_from_dict(options)
    except (KeyError, TypeError, IndexError) as error:
        raise UserError(
            f'--cfg-options does not fit {path} ({error}); check the spelling of the keys.'
        ) from error
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if (config.get(loader) or {}).get('num_workers') == 0:
            # PyTorch raises an error for persistent_workers without workers
            config[loader].persistent_workers = False


def prepare_config(args: argparse.Namespace) -> Config:
    """Build the config of the Runner from the common arguments.

    The work folder is ``--work-dir``, or else the ``work_dir`` of the config, or else
    ``work_dirs/<name of the config>``. The folder is created.

    Args:
        args: Arguments that a parser with :func:`add_common_arguments` returned.

    Returns:
        The config.

    Raises:
        UserError: The config or an option is not valid (see :func:`read_config`), or the work
            folder cannot be created.
    """
    # MMEngine selects the device of a process by LOCAL_RANK, which Open MPI does not set
    local_rank = os.environ.get('OMPI_COMM_WORLD_LOCAL_RANK', str(args.local_rank))
    os.environ.setdefault('LOCAL_RANK', local_rank)
    config = read_config(args.config, args.cfg_options or {})
    if config.get('compile'):
        raise UserError(
            f"The key 'compile' at the top of {args.config} would also compile the optimizer and "
            'the log; set model.compile instead.'
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
            f'The work folder {config.work_dir} cannot be created ({error.strerror}); set '
            '--work-dir to another folder.'
        ) from error
    return config
