"""Checkpoints that survive a kill at any moment, and the search for the one to resume from."""

import difflib
import inspect
import zipfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Union

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import CheckpointHook as _CheckpointHook
from mmengine.runner import weights_to_cpu
from torch import Tensor

from mmspd.engine.atomic_backend import BACKEND
from mmspd.errors import UserError
from mmspd.registry import HOOKS
from mmspd.utils.files import remove_leftovers
from mmspd.utils.model_wrapper import unwrap

__all__ = ['CheckpointHook', 'find_resumable']


@HOOKS.register_module()
class CheckpointHook(_CheckpointHook):
    """MMEngine's checkpoint hook, made safe against kills and full disks.

    * Checkpoints, best checkpoints and ``last_checkpoint`` are written in one step
      (:class:`~mmspd.engine.atomic_backend.AtomicBackend`).
    * An old checkpoint is deleted after the new one is on the disk, never before.
    * With ``resume=True`` and no ``load_from`` the run continues from the newest checkpoint of the
      work folder that can be read, whatever ``last_checkpoint`` says.

    Args:
        max_keep_ckpts: How many checkpoints to keep, at least 2, so that there is one to fall
            back to; -1 keeps all.
        out_dir: A local folder to save in instead of the run's ``work_dir``.
        start_from: Checkpoint whose weights a run starts with that was to be resumed and has
            nothing to resume from. It is how ``tools/train.py --resume`` keeps a config's
            ``load_from``, which for the Runner would name the checkpoint to resume.
        kwargs: As for MMEngine's ``CheckpointHook``, but for the storage backend, which is fixed.

    Raises:
        UserError: For an unknown argument, ``max_keep_ckpts=1``, remote storage, a metric of
            ``save_best`` that validation does not report, or a folder that cannot be written.
    """

    def __init__(
        self,
        *,
        max_keep_ckpts: int = 3,
        out_dir: Optional[str] = None,
        start_from: Optional[str] = None,
        **kwargs: Any,
    ) -> None:
        name = 'default_hooks.checkpoint'
        if max_keep_ckpts == 1:
            raise UserError(
                f'{name}.max_keep_ckpts=1 leaves no checkpoint to fall back to: set it to 2 or '
                'more, or to -1 to keep all'
            )
        if '://' in str(out_dir or '') or {'backend_args', 'file_client_args'} & kwargs.keys():
            raise UserError(
                f"{name} writes to local folders: for other storage set type='mmengine."
                "CheckpointHook'"
            )
        super().__init__(
            max_keep_ckpts=max_keep_ckpts,
            out_dir=out_dir,
            backend_args={'backend': BACKEND},
            **kwargs,
        )
        if self.args:  # MMEngine keeps what it does not know
            key, known = min(self.args), inspect.signature(_CheckpointHook).parameters
            close = difflib.get_close_matches(key, [*known, 'start_from'], n=1)
            hint = f', did you mean {close[0]!r}?' if close else ': remove it'
            raise UserError(f'{name} has no argument {key!r}{hint}')
        self.start_from = start_from
        self._is_training = False

    def before_run(self, runner: Any) -> None:
        """Choose the checkpoint to resume from, before the Runner looks for it itself."""
        if runner._resume and runner._load_from is None:
            self._choose(runner)
        if runner._resume:
            # a run that continues has its weights; published ones need not even be there any more
            unwrap(runner.model).official_weights = None

    def _choose(self, runner: Any) -> None:
        folder = Path(runner.work_dir)
        if self.out_dir not in (None, runner.work_dir):
            folder = Path(self.out_dir) / folder.resolve().name
        # one process decides, so that a shared disk that lags cannot split the ranks
        choice: List[Any] = [None, None]
        if is_main_process():
            try:
                choice[0] = find_resumable(folder, self.filename_tmpl, runner.logger.warning)
            except UserError as error:
                choice[1] = str(error)
        broadcast_object_list(choice)
        path, fault = choice
        if fault is not None:
            raise UserError(fault)
        if path is None:
            runner.logger.warning(f'There is no checkpoint in {folder}: training starts anew.')
            runner._resume = False
            runner._load_from = self.start_from
        else:
            runner._load_from = path

    def after_load_checkpoint(self, runner: Any, checkpoint: Dict[str, Any]) -> None:
        """Keep the optimizer's step counters on the host, as those of a new run are.

        MMEngine loads them to the device, where each step of Adam would wait to read them; an
        optimizer that counts on the device (``fused``) moves them back.
        """
        for values in _with_step_counter(checkpoint.get('optimizer')):
            values['step'] = values['step'].cpu()

    def before_save_checkpoint(self, runner: Any, checkpoint: Dict[str, Any]) -> None:
        """Bring the weights to the host: EMAHook puts those of the device in their place."""
        checkpoint['state_dict'] = weights_to_cpu(checkpoint['state_dict'])

    def before_train(self, runner: Any) -> None:
        """Prepare the folder and delete what a killed run left half-written."""
        super().before_train(runner)
        self._is_training = True
        if runner._resume and runner._load_from is not None:
            runner.message_hub.update_info('last_saved_ckpt', runner._load_from)
        if is_main_process():
            for folder in {self.out_dir, runner.work_dir}:
                for name in remove_leftovers(folder):
                    runner.logger.info(f'Deleted {name}, left in {folder} by a killed run.')

    def after_val_epoch(self, runner: Any, metrics: Dict[str, float]) -> None:
        """Save the best checkpoint; the former best goes after that."""
        if not self._is_training:  # Runner.val() on its own has nothing to save
            return
        for name in self.save_best or []:
            if metrics and name != 'auto' and name not in metrics:
                raise UserError(
                    f'default_hooks.checkpoint.save_best={name!r} is not among the validation '
                    f'metrics {sorted(metrics)}: name one of them'
                )
        with self.file_backend.removals_deferred():
            super().after_val_epoch(runner, metrics)

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: Dict[str, Any]) -> None:
        outdated = None
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                outdated = self.keep_ckpt_ids.popleft()
            self.keep_ckpt_ids.append(step)
            # before the save: a resumed run reads from the checkpoint which files it may delete
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
        )
        runner.message_hub.update_info('last_saved_ckpt', self.last_ckpt)
        if is_main_process():
            self.file_backend.put_text(self.last_ckpt, Path(runner.work_dir) / 'last_checkpoint')
            if outdated is not None:
                self._remove(self.filename_tmpl.format(outdated))

    def _remove(self, name: str) -> None:
        path = self.file_backend.join_path(self.out_dir, name)
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)


def _with_step_counter(state: Any) -> Iterator[Dict[str, Any]]:
    """Yield what has a step counter in the state of one optimizer, or of several by name."""
    if not isinstance(state, dict):
        return
    if isinstance(state.get('step'), Tensor):
        yield state
    for part in state.values():
        yield from _with_step_counter(part)


def find_resumable(
    folder: Union[str, Path], filename_tmpl: str = 'epoch_{}.pth', warn: Any = None
) -> Optional[str]:
    """Return the newest checkpoint in ``folder`` that can be read.

    A checkpoint is readable if its archive is complete and the checksum of every entry is right;
    nothing of it is unpickled.

    Args:
        folder: The run's checkpoint folder; it need not exist.
        filename_tmpl: Names of the run's checkpoints, ``{}`` stands for the number. Best
            checkpoints hold no optimizer state and are not looked at.
        warn: Called with a sentence for every checkpoint that is passed over.

    Returns:
        The path, or None if there is no checkpoint at all.

    Raises:
        UserError: If there are checkpoints and none can be read.
    """
    pattern = filename_tmpl.replace('{}', '*')
    paths = sorted(
        Path(folder).glob(pattern), key=lambda path: (path.stat().st_mtime_ns, path.name)
    )
    for path in reversed(paths):
        fault = _unreadable(path)
        if fault is None:
            return str(path)
        if warn is not None:
            warn(f'The checkpoint {path} cannot be read ({fault}); trying the one before it.')
    if paths:
        raise UserError(
            f'none of the {len(paths)} checkpoints in {folder} can be read: delete them or choose '
            'another --work-dir to start anew'
        )
    return None


def _unreadable(path: Path) -> Optional[str]:
    """Return what is wrong with a checkpoint file, None if it is whole."""
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        return str(error)
    if broken is not None:
        return f'its part {broken} is damaged'
    if not any(name.endswith('/data.pkl') for name in names):
        return 'it is not a PyTorch file'
    return None
