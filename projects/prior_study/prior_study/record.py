"""The record of a run of a study: one JSON file that is written as the run goes on."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

from mmengine.hooks import Hook

from mmspd.errors import UserError
from mmspd.utils.files import write_text

__all__ = ['RECORD_NAME', 'Recorder', 'read_record', 'write_record']

RECORD_NAME = 'result.json'
HASHED_BATCHES = 8
_SCHEMA = 1


def read_record(folder: Path) -> Optional[Dict[str, Any]]:
    """Read the record in a run's folder, None where there is none.

    Raises:
        UserError: It is no record.
    """
    path = folder / RECORD_NAME
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text('utf-8'))
    except ValueError as error:
        raise UserError(f"'{path}' is damaged: delete its folder") from error
    if record.get('schema') != _SCHEMA:
        raise UserError(f"'{path}' is no record of this version of mmspd: delete its folder")
    return record


def write_record(folder: Path, record: Dict[str, Any]) -> None:
    """Write the record into a run's folder, whole or not at all."""
    write_text(folder / RECORD_NAME, json.dumps({'schema': _SCHEMA, **record}, indent=1) + '\n')


class Recorder(Hook):
    """Record a run's epochs and learning curve, and end it in time.

    The record gains ``batches``, hashes of the first batches, by which runs can be shown to see
    the same data in the same order; ``epochs``, a dict each of ``epoch``, ``step``, ``seconds`` of
    training and the mean of every loss; and ``curve``, a dict of ``epoch``, ``step`` and what
    validation measured. A run that is resumed goes on with what belongs to its checkpoint.

    Args:
        folder: Of the run.
        record: What is known of it; it is changed and written there.
        deadline: Time, as ``time.time()`` counts, at which the run should have stopped, with
            ``stopped`` set, after an epoch: it is not begun if the last one was longer than what
            is left.
    """

    # before the checkpoint is saved: what it holds must be in the record
    priority = 'LOW'

    def __init__(self, folder: Path, record: Dict[str, Any], deadline: float) -> None:
        self.folder = folder
        self.record = record
        self.deadline = deadline
        self.stopped = False

    def before_train(self, runner: Any) -> None:
        """Drop what came after the checkpoint that is resumed, and validate what it lacks."""
        done = runner.epoch
        for name in ('epochs', 'curve'):
            known = self.record.setdefault(name, [])
            self.record[name] = [entry for entry in known if entry['epoch'] <= done]
        self.record.setdefault('batches', [])
        loop = runner.train_loop
        validated = {point['epoch'] for point in self.record['curve']}
        due = done % loop.val_interval == 0 or done == loop.max_epochs
        if done and due and done not in validated:
            runner.val_loop.run()

    def before_train_epoch(self, runner: Any) -> None:
        """Start the clock."""
        self._start = time.perf_counter()
        self._sums: Dict[str, Any] = {}

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Optional[Any] = None
    ) -> None:
        """Hash the first batches."""
        if runner.iter < HASHED_BATCHES:
            hashes = self.record['batches'][: runner.iter]
            self.record['batches'] = [*hashes, _hash(data_batch)]

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Optional[Any] = None,
        outputs: Optional[Dict[str, Any]] = None,
    ) -> None:
        """Add up the losses."""
        for name, value in (outputs or {}).items():
            if 'loss' in name:
                value = value.detach() if hasattr(value, 'detach') else value
                self._sums[name] = self._sums.get(name, 0) + value

    def after_train_epoch(self, runner: Any) -> None:
        """Record the epoch, and stop if there is no time for another."""
        steps = len(runner.train_dataloader)
        losses = {name: float(value) / steps for name, value in self._sums.items()}
        seconds = time.perf_counter() - self._start
        done = runner.epoch + 1
        self.record['epochs'].append(dict(epoch=done, step=runner.iter, seconds=seconds, **losses))
        write_record(self.folder, self.record)
        if done < runner.max_epochs and time.time() + seconds > self.deadline:
            self.stopped = True
            runner.train_loop.stop_training = True

    def after_val_epoch(self, runner: Any, metrics: Optional[Dict[str, float]] = None) -> None:
        """Record a point of the learning curve."""
        point = {name: float(value) for name, value in (metrics or {}).items()}
        self.record['curve'].append(dict(epoch=runner.epoch, step=runner.iter, **point))
        write_record(self.folder, self.record)


def _hash(batch: Dict[str, List[Any]]) -> str:
    """Hash the images of a batch; 12 digits."""
    digest = hashlib.sha256()
    for blurry, sample in zip(batch['inputs'], batch['data_samples']):
        for image in (blurry, sample.gt_img):
            digest.update(image.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]
