"""Check and lock the folders of a training run before anything is written to them."""

import os
from typing import Any, List, Optional, Tuple

from mmengine.config import Config
from mmengine.registry import HOOKS, init_default_scope

from mmspd.engine.checkpoint_hook import CheckpointHook
from mmspd.engine.checkpoints import archive_fault, find_resumable, structure_fault
from mmspd.engine.load_check_hook import load_local
from mmspd.utils.files import remove_leftovers

__all__ = ['enter_run_folder']

#: Variables in which launchers write the number of a process.
_RANKS = {'pytorch': 'RANK', 'slurm': 'SLURM_PROCID', 'mpi': 'OMPI_COMM_WORLD_RANK'}


def enter_run_folder(config: Config) -> Optional[str]:
    """Check and lock the folders of a training run, before MMEngine writes its log and config.

    :class:`~mmspd.engine.checkpoint_hook.CheckpointHook` does the same when the
    training starts. With another checkpoint hook, only the work folder is checked and locked.

    Args:
        config: The config of the run, with ``work_dir``, ``resume`` and ``load_from``.

    Returns:
        A sentence if the run is finished and nothing is left to do, or else None.

    Raises:
        UserError: A folder is in use or holds checkpoints that the run would replace, or no
            checkpoint can be resumed.
    """
    work_dir = os.path.abspath(config.work_dir)
    resume, start = bool(config.get('resume')), config.get('load_from')
    own, hook = _checkpoint_hook(config)
    if own and resume:
        finished = _finished(config, hook, work_dir, start)
        if finished is not None:
            for folder in (work_dir, hook.folder_in(work_dir)):
                remove_leftovers(folder)  # of a kill during the last save
            return finished
    if _is_first_process(config.get('launcher', 'none')):
        hook.claim(work_dir, resume, start)
    return None


def _checkpoint_hook(config: Config) -> Tuple[bool, CheckpointHook]:
    """Build the checkpoint hook of a config.

    Returns:
        Whether the config has an mmspd.CheckpointHook, and this hook or the default one.
    """
    init_default_scope(config.get('default_scope', 'mmengine'))
    settings = dict((config.get('default_hooks') or {}).get('checkpoint') or {})
    settings.pop('priority', None)
    hook = HOOKS.build(settings) if settings else None
    if isinstance(hook, CheckpointHook):
        return True, hook
    return False, CheckpointHook()


def _is_first_process(launcher: str) -> bool:
    """Tell whether this is the first process of a run, before the processes are connected."""
    return os.environ.get(_RANKS.get(launcher, ''), '0') == '0'


def _finished(
    config: Config, hook: CheckpointHook, work_dir: str, start: Optional[str]
) -> Optional[str]:
    """Return a sentence if the checkpoint to resume from is the last one of the run."""
    contents: List[Any] = []
    path = start
    if start is None:
        # the last content that is checked is that of the returned checkpoint
        path = find_resumable(hook.folder_in(work_dir), hook.filename_tmpl, check=contents.append)
    elif '://' not in start and archive_fault(start) is None:
        contents.append(load_local(start, 'cpu'))
    if not contents or structure_fault(contents[-1]) is not None:
        return None
    unit = 'epoch' if 'max_epochs' in config.train_cfg else 'iter'
    last, done = config.train_cfg.get(f'max_{unit}s'), contents[-1]['meta'][unit]
    if last is None or done < last:
        return None
    return (
        f"The run is finished, because '{path}' is at {unit} {done} of {last}; to train longer, "
        f'increase train_cfg.max_{unit}s.'
    )
