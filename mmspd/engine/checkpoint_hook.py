"""Save checkpoints that stay valid if the run is killed, and resume from them."""

import difflib
import inspect
import os
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import CheckpointHook as _CheckpointHook
from mmengine.runner import BaseLoop, weights_to_cpu
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor

from mmspd.engine.atomic_backend import BACKEND
from mmspd.engine.best_checkpoint import Best, best_in, choose_best
from mmspd.engine.checkpoints import (
    archive_fault,
    find_resumable,
    numbered_in,
    structure_fault,
)
from mmspd.engine.schedule_replay import keep_implementation
from mmspd.engine.used_folder import check_start, check_unused
from mmspd.errors import UserError
from mmspd.registry import HOOKS
from mmspd.utils.files import remove_leftovers
from mmspd.utils.lock import lock_folder, unlock_folder
from mmspd.utils.model_wrapper import unwrap

__all__ = ['CheckpointHook']


@HOOKS.register_module()
class CheckpointHook(_CheckpointHook):
    """MMEngine's checkpoint hook, but a killed run or a full disk damages no checkpoint.

    * Checkpoints, best checkpoints and ``last_checkpoint`` are written atomically
      (:class:`~mmspd.engine.atomic_backend.AtomicBackend`).
    * An old checkpoint is deleted only after the new one is on the disk.
    * With ``resume=True`` and no ``load_from``, the run continues from the checkpoint with the
      highest number in the work folder that is not damaged. The file ``last_checkpoint`` is
      ignored.
    * A new run is refused if its folder holds checkpoints, and the folder is locked during the run
      (:func:`~mmspd.utils.lock.lock_folder`).
    * Only files of the run's own folder are deleted. If a run is resumed in another folder, its
      best checkpoint stays where it is, and the best score of the new folder starts anew.

    Args:
        max_keep_ckpts: Number of checkpoints to keep, at least 2: if the newest one is damaged, the
            run can resume from the previous one. -1 keeps all checkpoints.
        out_dir: A local folder for the checkpoints; the default is the ``work_dir`` of the run.
        start_from: Checkpoint with the initial weights. It is used if the run is resumed but has no
            checkpoint yet. ``tools/train.py --resume`` moves the ``load_from`` of the config to
            this argument, because MMEngine's Runner would resume from ``load_from``.
        kwargs: Arguments of MMEngine's ``CheckpointHook``, except for the storage backend.

    Raises:
        UserError: An argument is unknown or wrong, the storage is remote, validation does not
            report the metric of ``save_best``, or the folder is in use or not writable.

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
        if self.filename_tmpl.format(0) == self.filename_tmpl:
            raise UserError(
                f'{name}.filename_tmpl={self.filename_tmpl!r} has no place for the number; use a '
                "name such as 'epoch_{}.pth'."
            )
        self.start_from = start_from
        self._root = out_dir  # MMEngine changes self.out_dir when the training starts
        self._is_training = False
        self._is_claimed = False

    def folder_in(self, work_dir: str) -> Path:
        """Return the folder of the checkpoints.

        Args:
            work_dir: The work folder of the run.

        Returns:
            The work folder, or the folder of the same name in ``out_dir``.
        """
        if self._root in (None, work_dir):
            return Path(work_dir)
        return Path(self._root, os.path.basename(os.path.abspath(work_dir)))

    def claim(self, work_dir: str, resume: bool, start: Optional[str]) -> bool:
        """Check that a run may write to its folders, and lock them.

        Args:
            work_dir: The work folder of the run.
            resume: Whether the run continues another run.
            start: The checkpoint to start or continue from, or None.

        Returns:
            False if the file system has no locks.

        Raises:
            UserError: A folder is in use or holds checkpoints that the run would replace, or
                ``start`` is damaged.
        """
        checkpoints = self.folder_in(work_dir)
        folders = dict.fromkeys([Path(work_dir), checkpoints])
        if resume and start is not None and '://' not in start:
            fault = archive_fault(start)
            if fault is not None:
                raise UserError(
                    f"The checkpoint '{start}' cannot be read ({fault}); use an earlier checkpoint."
                )
            check_start(checkpoints, self.filename_tmpl, start)
        elif not resume:
            for folder in folders:
                check_unused(folder, self.filename_tmpl)
        return all(lock_folder(folder) for folder in folders)

    def before_run(self, runner: Any) -> None:
        """Lock the folders of a training run, and choose the checkpoint to resume from.

        Args:
            runner: MMEngine's runner.

        Raises:
            UserError: A folder is in use, or there are checkpoints, but none is readable.
        """
        # The loop is built for training only. A test after the training keeps the lock.
        if isinstance(runner._train_loop, BaseLoop) and not self._is_claimed:
            arguments = runner.work_dir, runner._resume, runner._load_from
            if not _on_main_process(self.claim, *arguments):
                runner.logger.warning(
                    f'The file system of {runner.work_dir} has no locks; do not start two runs in '
                    'this folder.'
                )
            self._is_claimed = True
        if runner._resume and runner._load_from is None:
            self._choose(runner)
        elif runner._resume:
            content = CheckpointLoader.load_checkpoint(runner._load_from, 'cpu')
            if structure_fault(content) is None:  # LoadCheckHook reports files of other kinds
                _refuse(runner, _misfit(runner, content))
        if runner._resume:
            # a resumed run loads its own checkpoint, so published weights are not needed
            unwrap(runner.model).official_weights = None

    def _choose(self, runner: Any) -> None:
        folder = self.folder_in(runner.work_dir)

        def choose() -> Optional[str]:
            def fault(checkpoint: Dict[str, Any]) -> Optional[str]:
                return _misfit(runner, checkpoint)

            path = find_resumable(folder, self.filename_tmpl, runner.logger.warning, fault)
            if path is None:
                check_unused(folder, self.filename_tmpl)
            else:
                self._clear_names(folder, path, runner.logger.warning)
            return path

        # One process decides, because ranks may see different files on a slow shared disk.
        path = _on_main_process(choose)
        if path is None:
            runner.logger.warning(f'There is no checkpoint in {folder}, so a new run starts.')
            runner._resume = False
            runner._load_from = self.start_from
        else:
            runner._load_from = path

    def _clear_names(self, folder: Path, start: str, warn: Callable[[str], None]) -> None:
        """Rename folders that have the names of later checkpoints."""
        there = [entry.path for entry in numbered_in(folder, self.filename_tmpl)]
        for path in there[there.index(Path(start)) :]:
            if path.is_dir():
                other = path.with_name(f'{path.name}.folder')
                path.rename(other)
                warn(f'The folder {path} has the name of a checkpoint, so its name is now {other}.')

    def after_load_checkpoint(self, runner: Any, checkpoint: Dict[str, Any]) -> None:
        """Check the parts of a resumed checkpoint, and fit them to the optimizer of this run.

        The optimizer keeps its implementation. The step counters are moved to the CPU: MMEngine
        loads them to the device, and then each step of Adam would have to wait for the device to
        read them. A fused optimizer, which counts on the device, moves the counters back.

        Args:
            runner: MMEngine's runner.
            checkpoint: The loaded checkpoint, changed in place.

        Raises:
            UserError: The run is resumed, but the checkpoint lacks a part.
        """
        if runner is not None and runner._resume:
            _refuse(runner, structure_fault(checkpoint))
            keep_implementation(runner, checkpoint)
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
        """Prepare the folder: delete incomplete files and outdated best checkpoints.

        Args:
            runner: MMEngine's runner.
        """
        folder = self.folder_in(runner.work_dir)
        if runner._resume and runner._load_from is not None:
            self._rebase(runner, folder)
        super().before_train(runner)
        self._is_training = True
        if is_main_process():
            for place in {str(folder), runner.work_dir}:
                for name in remove_leftovers(place):
                    runner.logger.info(f'Deleted {name} in {place}, an incomplete file.')

    def _rebase(self, runner: Any, folder: Path) -> None:
        """Replace the paths in a resumed checkpoint by paths in the folder of this run.

        The checkpoint may come from another folder, or its folder may have been moved. Without this
        replacement, MMEngine would delete files of the other run.
        """
        hub, start = runner.message_hub, runner._load_from
        for key in ('last_ckpt', 'last_saved_ckpt'):
            hub.update_info(key, start)
        own = {entry.number for entry in numbered_in(folder, self.filename_tmpl)}
        kept = [number for number in hub.get_info('keep_ckpt_ids', []) if number in own]
        hub.update_info('keep_ckpt_ids', kept)  # the numbers of files that MMEngine may delete
        for metric, rule in zip(self.key_indicators, self.rules) if self.save_best else []:
            suffix = f'_{metric}' if len(self.key_indicators) > 1 else ''
            self._find_best(runner, folder, metric, rule, suffix)

    def _find_best(
        self, runner: Any, folder: Path, metric: str, rule: Optional[str], suffix: str
    ) -> None:
        """Find the best checkpoint of one metric in the folder, and delete the outdated ones."""
        hub, warn = runner.message_hub, runner.logger.warning
        path_key, score_key = f'best_ckpt{suffix}', f'best_score{suffix}'
        path, score = hub.pop_info(path_key, None), hub.pop_info(score_key, None)
        known = None if None in (path, score) else Best(Path(path), score)
        there = best_in(folder, self.filename_tmpl, None if metric == 'auto' else metric)
        # MMEngine chooses the metric and the rule of 'auto' after the first validation
        is_better = self.rule_map.get(rule, lambda score, other: False)
        best, worse = _on_main_process(choose_best, there, metric, known, is_better, warn)
        if best is not None:
            hub.update_info(path_key, str(best.path))
            hub.update_info(score_key, best.score)
            for path in worse if rule is not None and is_main_process() else []:
                path.unlink()
                runner.logger.info(f'Deleted {path}, an outdated best checkpoint.')
        elif known is not None:
            warn(
                f'The best checkpoint {known.path} is not in {folder}, so the next validation '
                'saves a new one.'
            )

    def after_run(self, runner: Any) -> None:
        """Unlock the folders of the run.

        Args:
            runner: MMEngine's runner.
        """
        for folder in (runner.work_dir, self.folder_in(runner.work_dir)):
            unlock_folder(folder)

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


def _on_main_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in one process, and return its result or raise its error in all."""
    outcome: List[Any] = [None, None]
    if is_main_process():
        try:
            outcome[0] = function(*arguments)
        except UserError as error:
            outcome[1] = str(error)
    broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise UserError(outcome[1])
    return outcome[0]


def _refuse(runner: Any, fault: Optional[str]) -> None:
    """Raise an error if the checkpoint that the user named has a fault."""
    if fault is not None:
        raise UserError(
            f"A run cannot continue from '{runner._load_from}' ({fault}); start a new run from its "
            'weights with --cfg-options load_from=FILE.'
        )


def _misfit(runner: Any, checkpoint: Dict[str, Any]) -> Optional[str]:
    """Return the part that a checkpoint lacks for this run, or None."""
    if runner.param_schedulers and not checkpoint.get('param_schedulers'):
        return 'it has no param_schedulers'
    needed, there = unwrap(runner.model).state_dict().keys(), checkpoint['state_dict'].keys()
    missing = sorted(needed - there)
    # With other weights in their place, this is the checkpoint of another model. LoadCheckHook
    # reports it.
    if missing and not there - needed:
        return f'its state_dict has no {missing[0]}'
    return None
