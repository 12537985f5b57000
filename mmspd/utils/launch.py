"""Common arguments of the training and testing tools, and functions that read configs."""

import argparse
import difflib
import os
import re
from pathlib import Path
from typing import Any, Dict, Tuple, Union

from mmengine.config import Config, DictAction

from mmspd.errors import UsageError, UserError
from mmspd.utils.config_check import check_config, check_groups
from mmspd.utils.config_names import check_names, check_options, runner_keys
from mmspd.utils.names import similar_names
from mmspd.utils.package_files import package_file
from mmspd.utils.shared_config import SHARED_CONFIG, read_shared_config

__all__ = [
    'add_cfg_options',
    'add_common_arguments',
    'check_file',
    'check_folder',
    'check_other_file',
    'find_config',
    'merge_options',
    'prepare_config',
    'read_config',
]

_SCOPE = 'mmspd::'
#: Folders of the configs that are found by their names.
_RECIPES = ('spd', 'own_data')


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the common arguments of training and testing to a parser."""
    parser.add_argument('config', help='config file, or its name, e.g. mimounet_sp_gopro')
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
        UsageError: The path is not a file. The message suggests similar names from its folder.
    """
    file = Path(path)
    if os.path.isfile(path):  # unlike Path.is_file, this raises no error for a long name
        return path
    if os.path.isdir(path):
        raise UsageError(f'The {what} {path} is a folder; give a file in this folder.')
    if os.path.lexists(path):
        raise UsageError(f'The {what} {path} is not a regular file; give a file.')
    raise UsageError(f'The {what} {path} does not exist; check the path{_similar_to(file)}.')


def _similar_to(path: Path) -> str:
    """Return a phrase with similar names from the folder of a path."""
    names = os.listdir(path.parent) if os.path.isdir(path.parent) else []
    close = difflib.get_close_matches(path.name, names, n=3)
    hint = f' (similar names: {", ".join(str(path.parent / name) for name in close)})'
    return hint if close else ''


def check_folder(path: Union[str, Path], what: str) -> None:
    """Check that a path is a folder.

    Args:
        path: The path.
        what: Kind of the folder for the message, such as ``'data folder'``.

    Raises:
        UsageError: The path is not a folder. The message suggests similar names.
    """
    folder = Path(path)
    if os.path.isdir(path):
        return
    if os.path.lexists(path):
        raise UsageError(f'The {what} {path} is a file; give a folder.')
    raise UsageError(f'The {what} {path} does not exist; check the path{_similar_to(folder)}.')


def find_config(config: str) -> str:
    """Find the file of a config that is given by its path or name.

    Args:
        config: The path of a file, or of a folder that ``tools/weights.py`` pulled; the name of a
            recipe of mmspd, such as ``'mimounet_sp_gopro'``; or its path in the folder of the
            configs, such as ``'mmspd::spd/mimounet_sp_gopro.py'``.

    Returns:
        The path of the file.

    Raises:
        UsageError: There is no such file or recipe. The message suggests similar names.

    Examples:
        >>> from pathlib import Path
        >>> from mmspd.utils.launch import find_config
        >>> Path(find_config('mimounet_sp_gopro')).name
        'mimounet_sp_gopro.py'
    """
    if config.startswith(_SCOPE):
        return check_file(str(package_file('configs', config[len(_SCOPE) :])), 'config')
    shared = Path(config, SHARED_CONFIG)
    if os.path.isfile(shared):
        return str(shared)
    recipes = {
        file.stem: str(file)
        for folder in _RECIPES
        for file in package_file('configs', folder).rglob('*.py')
    }
    if os.path.isfile(config) or config not in recipes:
        if re.fullmatch(r'[\w-]+', config) and not os.path.lexists(config):
            raise UsageError(
                f'The config {config}.py does not exist; check the name'
                f'{similar_names(config, recipes)}, or give the path of a config.'
            )
        return check_file(config, 'config')
    return recipes[config]


def check_other_file(source: str, out: Path) -> None:
    """Check that an output does not replace the file that it is made from.

    Args:
        source: A file, an address, or a folder.
        out: The file to write.

    Raises:
        UsageError: Both are the same file, or the output is a file in the folder.
    """
    read = [path for path in (Path(source), *Path(source).glob('*')) if path.exists()]
    if out.exists() and any(map(out.samefile, read)):
        raise UsageError(f"OUT would replace '{out}', which is converted; give another file.")


def read_config(path: str, options: Dict[str, Any]) -> Config:
    """Read a config file and apply ``--cfg-options`` to it.

    Args:
        path: The config file, or its name, see :func:`find_config`.
        options: A dict from dotted keys to values.

    Returns:
        The config with the options.

    Raises:
        UsageError: The file does not exist or is not a valid config, or an option does not fit the
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
    path = find_config(path)
    try:
        if os.path.basename(path) == SHARED_CONFIG:
            config = read_shared_config(path)
        else:
            _check_bases(path)
            config = Config.fromfile(path)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # a config is Python code and may raise any exception
        reason = ' '.join(f'{type(error).__name__}: {error}'.split())
        raise UsageError(f'{path} is not a valid config ({reason}); correct it.') from error
    check_names(config, path)
    check_options(config, options, path)
    merge_options(config, options, path)
    return config


def _check_bases(path: str, children: Tuple[str, ...] = ()) -> None:
    """Raise an error for a config that inherits itself, which MMEngine would read for long."""
    file = os.path.realpath(path)
    if file in children:
        raise UsageError(f'The config {path} inherits itself; correct its _base_.')
    for base in Config._get_base_files(file):
        if '::' not in base:  # the config of another package
            _check_bases(os.path.join(os.path.dirname(path), base), (*children, file))


def merge_options(config: Config, options: Dict[str, Any], path: str) -> None:
    """Apply ``--cfg-options`` to a config.

    Args:
        config: Config to change, in place.
        options: A dict from dotted keys to values.
        path: File of the config, for error messages.

    Raises:
        UsageError: An option does not fit the config.
    """
    known = {*config, *runner_keys()}
    for key in options:
        top = key.partition('.')[0]
        if top not in known:
            close = difflib.get_close_matches(top, sorted(known), n=1)
            hint = f' (similar key: {close[0]!r})' if close else ''
            raise UsageError(
                f'--cfg-options {key}: {path} has no key {top!r}; check its spelling{hint}.'
            )
    try:
        config.merge_from_dict(options)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise UsageError(
            f'--cfg-options does not fit {path} ({error}); check the spelling of the keys.'
        ) from error
    check_config(config)
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
        UsageError: The config or an option is not valid (see :func:`read_config`), or the work
            folder cannot be created.
    """
    # MMEngine selects the device of a process by LOCAL_RANK, which Open MPI does not set
    local_rank = os.environ.get('OMPI_COMM_WORLD_LOCAL_RANK', str(args.local_rank))
    os.environ.setdefault('LOCAL_RANK', local_rank)
    config = read_config(args.config, args.cfg_options or {})
    check_groups(config)
    if config.get('compile'):
        raise UsageError(
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
        raise UsageError(
            f'The work folder {config.work_dir} cannot be created ({error.strerror}); set '
            '--work-dir to another folder.'
        ) from error
    return config
