"""The record of a run: one JSON file that is updated during the run."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

from mmengine.hooks import Hook

from mmspd.errors import UserError
from mmspd.utils.files import write_text

__all__ = ['DONE', 'NOT_BEGUN', 'RECORD_NAME', 'Recorder', 'read_record', 'write_record']

RECORD_NAME = 'result.json'
NOT_BEGUN, DONE = 'not begun', 'done'
HASHED_BATCHES = 8
_SCHEMA = 1


def read_record(folder: Path) -> Dict[str, Any]:
    """Read the record of a run.

    Args:
        folder: Folder of the run.

    Returns:
        The record. If there is no file, the record has only the ``status`` ``NOT_BEGUN``.

    Raises:
        UserError: The file is damaged, or has another version of the format.
    """
    path = folder / RECORD_NAME
    if not path.is_file():
        return dict(status=NOT_BEGUN)
    try:
        record = json.loads(path.read_text('utf-8'))
    except ValueError as error:
        raise UserError(
            f"'{path}' is damaged; delete '{folder}' and run the variant again."
        ) from error
    if record.get('schema') != _SCHEMA:
        raise UserError(
            f"'{path}' is a record of another version of mmspd; delete '{folder}' and run the "
            'variant again.'
        )
    return record


def write_record(folder: Path, record: Dict[str, Any]) -> None:
    """Write the record of a run atomically.

    Args:
        folder: Folder of the run.
        record: The record.
    """
    write_text(folder / RECORD_NAME, json.dumps({'schema': _SCHEMA, **record}, indent=1) + '\n')


class Recorder(Hook):
    """Records the epochs and the learning curve of a run, and stops the run before a deadline.

    The hook adds three lists to the record:

    - ``batches``: Hashes of the first batches. Runs with equal hashes train on the same data in
      the same order.
    - ``epochs``: For each epoch: ``epoch``, ``step``, ``seconds`` of training and the mean of
      every loss.
    - ``curve``: For each validation: ``epoch``, ``step`` and the metrics.

    A resumed run keeps the entries up to its checkpoint.

    Args:
        folder: Folder of the run, for the record.
        record: Record to extend, in place.
        deadline: Time, in seconds since 1970, at which training must be over. If the next epoch
            would end later at the speed of the last epoch, training stops and ``stopped`` is True.
    """

    # this hook runs before the checkpoint is saved, because the record must hold
    # all epochs of the checkpoint
    priority = 'LOW'

    def __init__(self, folder: Path, record: Dict[str, Any], deadline: float) -> None:
        self.folder = folder
        self.record = record
        self.deadline = deadline
        self.stopped = False

    def before_train(self, runner: Any) -> None:
        """Drop the entries after the resumed checkpoint, and run a validation that was missed."""
        done = runner.epoch
        for name in ('epochs', 'curve'):
            entries = self.record.setdefault(name, [])
            self.record[name] = [entry for entry in entries if entry['epoch'] <= done]
        self.record.setdefault('batches', [])
        loop = runner.train_loop
        validated = {point['epoch'] for point in self.record['curve']}
        due = done % loop.val_interval == 0 or done == loop.max_epochs
        if done and due and done not in validated:
            runner.val_loop.run()

    def before_train_epoch(self, runner: Any) -> None:
        """Start the clock."""
        self._start = time.perf_counter()

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Optional[Any] = None
    ) -> None:
        """Hash the first batches."""
        if runner.iter < HASHED_BATCHES:
            hashes = self.record['batches'][: runner.iter]
            self.record['batches'] = [*hashes, _hash(data_batch)]

    def after_train_epoch(self, runner: Any) -> None:
        """Record the epoch, and stop if another epoch would end after the deadline."""
        steps = len(runner.train_dataloader)
        losses = {
            name.partition('/')[2]: float(history.mean(steps))
            for name, history in runner.message_hub.log_scalars.items()
            if name.startswith('train/') and 'loss' in name
        }
        seconds = time.perf_counter() - self._start
        done = runner.epoch + 1
        self.record['epochs'].append(dict(epoch=done, step=runner.iter, seconds=seconds, **losses))
        write_record(self.folder, self.record)
        if done < runner.max_epochs and time.time() + seconds > self.deadline:
            self.stopped = True
            runner.train_loop.stop_training = True

    def after_val_epoch(self, runner: Any, metrics: Optional[Dict[str, float]] = None) -> None:
        """Add a point to the learning curve."""
        point = {name: float(value) for name, value in (metrics or {}).items()}
        self.record['curve'].append(dict(epoch=runner.epoch, step=runner.iter, **point))
        write_record(self.folder, self.record)


def _hash(batch: Dict[str, List[Any]]) -> str:
    """Return a 12-digit hash of the images of a batch."""
    digest = hashlib.sha256()
    for blurry, sample in zip(batch['inputs'], batch['data_samples']):
        for image in (blurry, sample.gt_img):
            digest.update(image.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]
