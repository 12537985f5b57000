"""Save checkpoints that stay valid if the run is killed, and find the one to resume from."""

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
    """MMEngine's checkpoint hook, but a killed run or a full disk damages no checkpoint.

    * Checkpoints, best checkpoints and ``last_checkpoint`` are written atomically
      (:class:`~mmspd.engine.atomic_backend.AtomicBackend`).
    * An old checkpoint is deleted only after the new one is on the disk.
    * With ``resume=True`` and no ``load_from``, the run continues from the newest readable
      checkpoint of the work folder. The file ``last_checkpoint`` is ignored.

    Args:
        max_keep_ckpts: Number of checkpoints to keep, at least 2: if the newest one is damaged, the
            run can resume from the previous one. -1 keeps all checkpoints.
        out_dir: A local folder for the checkpoints; the default is the ``work_dir`` of the run.
        start_from: Checkpoint with the initial weights. It is used if the run is resumed but has no
            checkpoint yet. ``tools/train.py --resume`` moves the ``load_from`` of the config to
            this argument, because MMEngine's Runner would resume from ``load_from``.
        kwargs: Arguments of MMEngine's ``CheckpointHook``, except for the storage backend.

    Raises:
        UserError: An argument is unknown, ``max_keep_ckpts`` is 1, the storage is remote,
            validation does not report the metric of ``save_best``, or the folder is not writable.

    Examples:
        >>> from mmspd.registry import HOOKS
        >>> checkpoint = dict(
        ...     type='mmspd.CheckpointHook', interval=10, save_best='PSNR', rule='greater')
        >>> default_hooks = dict(checkpoint=checkpoint)  # in a config
        >>> hook = HOOKS.build(checkpoint)
        >>> hook.interval, hook.max_keep_ckpts
        (10, 3)
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
                f'{name}.max_keep_ckpts=1 leaves no checkpoint to fall back to; set it to 2 or '
                'more, or to -1 to keep all.'
            )
        if '://' in str(out_dir or '') or {'backend_args', 'file_client_args'} & kwargs.keys():
            raise UserError(
                f'{name} writes to local folders only; set '
                f"{name}.type='mmengine.CheckpointHook' for other storage."
            )
        super().__init__(
            max_keep_ckpts=max_keep_ckpts,
            out_dir=out_dir,
            backend_args={'backend': BACKEND},
            **kwargs,
        )
        if self.args:  # MMEngine collects unknown arguments here
            key, known = min(self.args), inspect.signature(_CheckpointHook).parameters
            close = difflib.get_close_matches(key, [*known, 'start_from'], n=1)
            fix = f'use {close[0]!r} instead' if close else 'remove it'
            raise UserError(f'{name} has no argument {key!r}; {fix}.')
        self.start_from = start_from
        self._is_training = False

    def before_run(self, runner: Any) -> None:
        """Choose the checkpoint to resume from, before the Runner chooses one.

        Args:
            runner: MMEngine's runner.

        Raises:
            UserError: There are checkpoints, but none is readable.
        """
        if runner._resume and runner._load_from is None:
            self._choose(runner)
        if runner._resume:
            # a resumed run loads its own checkpoint, so published weights are not needed
            unwrap(runner.model).official_weights = None

    def _choose(self, runner: Any) -> None:
        folder = Path(runner.work_dir)
        if self.out_dir not in (None, runner.work_dir):
            folder = Path(self.out_dir) / folder.resolve().name
        # One process decides, because ranks may see different files on a slow shared disk.
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
            runner.logger.warning(f'There is no checkpoint in {folder}, so a new run starts.')
            runner._resume = False
            runner._load_from = self.start_from
        else:
            runner._load_from = path

    def after_load_checkpoint(self, runner: Any, checkpoint: Dict[str, Any]) -> None:
        """Move the step counters of the optimizer to the CPU, as in a new run.

        MMEngine loads the counters to the device. Then each step of Adam would have to wait for the
        device to read them. An optimizer that counts on the device (``fused``) moves the counters
        back.

        Args:
            runner: MMEngine's runner.
            checkpoint: The loaded checkpoint, changed in place.
        """
        for values in _with_step_counter(checkpoint.get('optimizer')):
            values['step'] = values['step'].cpu()

    def before_save_checkpoint(self, runner: Any, checkpoint: Dict[str, Any]) -> None:
        """Move the weights to the CPU, because EMAHook inserts weights on the device.

        Args:
            runner: MMEngine's runner.
            checkpoint: The checkpoint to save, changed in place.
        """
        checkpoint['state_dict'] = weights_to_cpu(checkpoint['state_dict'])

    def before_train(self, runner: Any) -> None:
        """Prepare the folder and delete the incomplete files of a killed run.

        Args:
            runner: MMEngine's runner.
        """
        super().before_train(runner)
        self._is_training = True
        if runner._resume and runner._load_from is not None:
            runner.message_hub.update_info('last_saved_ckpt', runner._load_from)
        if is_main_process():
            for folder in {self.out_dir, runner.work_dir}:
                for name in remove_leftovers(folder):
                    runner.logger.info(f'Deleted {name} in {folder}, an incomplete file.')

    def after_val_epoch(self, runner: Any, metrics: Dict[str, float]) -> None:
        """Save the best checkpoint, then delete the previous best checkpoint.

        Args:
            runner: MMEngine's runner.
            metrics: The results of the validation.

        Raises:
            UserError: The metric of ``save_best`` is missing.
        """
        if not self._is_training:  # Runner.val() without training saves no checkpoint
            return
        for name in self.save_best or []:
            if metrics and name != 'auto' and name not in metrics:
                raise UserError(
                    f'default_hooks.checkpoint.save_best={name!r} is not among the validation '
                    f'metrics {sorted(metrics)}; use one of these metrics.'
                )
        with self.file_backend.removals_deferred():
            super().after_val_epoch(runner, metrics)

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: Dict[str, Any]) -> None:
        outdated = None
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                outdated = self.keep_ckpt_ids.popleft()
            self.keep_ckpt_ids.append(step)
            # before the save, because a resumed run reads this list from the checkpoint
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
    """Search the state of one or several optimizers; yield the dicts with a step counter."""
    if not isinstance(state, dict):
        return
    if isinstance(state.get('step'), Tensor):
        yield state
    for part in state.values():
        yield from _with_step_counter(part)


def find_resumable(
    folder: Union[str, Path], filename_tmpl: str = 'epoch_{}.pth', warn: Any = None
) -> Optional[str]:
    """Find the newest readable checkpoint in a folder.

    A checkpoint is readable if its archive is complete and the checksum of every entry is correct.
    The checkpoint is not unpickled.

    Args:
        folder: The checkpoint folder of a run. It may be missing.
        filename_tmpl: Names of the checkpoints, where ``{}`` stands for the number. Best
            checkpoints are ignored, because they contain no optimizer state.
        warn: Function that is called with a sentence for every checkpoint that is skipped.

    Returns:
        The path, or None if there is no checkpoint.

    Raises:
        UserError: There are checkpoints, but none is readable.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import torch
        >>> from mmspd.engine.checkpoint_hook import find_resumable
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save({}, Path(folder, 'epoch_1.pth'))
        ...     Path(find_resumable(folder)).name
        'epoch_1.pth'
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
            warn(f'The checkpoint {path} cannot be read ({fault}); trying the previous one.')
    if paths:
        raise UserError(
            f'None of the {len(paths)} checkpoints in {folder} can be read; delete them or choose '
            'another --work-dir to start a new run.'
        )
    return None


def _unreadable(path: Path) -> Optional[str]:
    """Return the reason why a checkpoint file is unreadable, or None if it is readable."""
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
