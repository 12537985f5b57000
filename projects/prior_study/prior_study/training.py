"""Runs one row of a study: trains a variant with a seed and tests it on all test sets."""

import copy
import fcntl
import time
import traceback
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.model import BaseModel

from mmspd.engine.checkpoints import find_resumable
from mmspd.engine.runner import build_runner
from mmspd.errors import UserError
from mmspd.evaluation.results import Result
from mmspd.registry import DATASETS
from mmspd.utils.device import describe_machine
from mmspd.utils.failures import sentence_of
from mmspd.weights.required import locate_required_weights
from prior_study.plan import Row, Study, cost_of, digest_of
from prior_study.record import DONE, NOT_BEGUN, Recorder, read_record, write_record

__all__ = ['check_record', 'run_row', 'weights_of']


def check_record(study: Study, row: Row, results: Path) -> Dict[str, Any]:
    """Read the record of a run and check that its config has not changed.

    Args:
        study: The study.
        row: Variant and seed.
        results: Folder of the study's results.

    Returns:
        The record. If the run failed during its first epoch, its status is ``NOT_BEGUN``.

    Raises:
        UserError: The study's file or a base config has changed since the run.
    """
    folder = row.folder(results)
    record = read_record(folder)
    if record['status'] == 'failed' and not record.get('epochs'):
        return dict(status=NOT_BEGUN)
    if record['status'] != NOT_BEGUN and record['config'] != digest_of(study.config(row)):
        raise UserError(
            f"'{folder}' was made with another config of {row}; delete the folder to repeat the "
            'run, or choose another --out.'
        )
    return record


def run_row(study: Study, row: Row, results: Path, deadline: float) -> Dict[str, Any]:
    """Train and test a variant, or continue a stopped run.

    Args:
        study: The study.
        row: Variant and seed.
        results: Folder of the study's results. All files are written below it.
        deadline: Time to stop, in seconds since 1970. The run stops after an epoch.

    Returns:
        The record of the run. Its ``status`` is ``'done'``, ``'stopped'`` (by the deadline) or
        ``'failed'``. A failed run has an ``error``.

    Raises:
        UserError: Another process is running the row, or the config of the row has changed.
    """
    folder = row.folder(results)
    with _locked(folder):
        record = check_record(study, row, results)
        if record['status'] == DONE:
            return record
        record.update(
            study=Path(study.path).stem, variant=row.variant, seed=row.seed, status='running'
        )
        record.pop('error', None)
        try:
            done = _train_and_test(study, row, results, record, deadline)
            record['status'] = DONE if done else 'stopped'
        except UserError as error:
            record.update(status='failed', error=sentence_of(error))
        except Exception as error:  # other runs must continue; the log gets the traceback
            traceback.print_exc()
            record.update(status='failed', error=f'{type(error).__name__}: {error}')
        write_record(folder, record)
    return record


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock the folder of a run against other processes."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / '.lock', 'w') as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"Another process is running the variant in '{folder}'; wait until it has finished."
            ) from error
        yield


def _train_and_test(
    study: Study, row: Row, results: Path, record: Dict[str, Any], deadline: float
) -> bool:
    """Train, test and fill the record; return whether training and all tests are complete."""
    folder, variant = row.folder(results), study.variant(row.variant)
    config = study.config(row)
    record.update(
        config=digest_of(config),
        about=variant.about,
        machine=describe_machine(torch.device(get_device())),
        **cost_of(config)._asdict(),
    )
    config.work_dir = str(folder)
    config.dump(str(folder / 'config.py'))
    if variant.shuffle:
        checkpoint, hooks = weights_of(Row(variant.shuffle, row.seed), results), [_ShufflePrior()]
    else:
        start = variant.start_from and weights_of(Row(variant.start_from, row.seed), results)
        if not _train(config, folder, record, deadline, start):
            return False
        checkpoint, hooks = _last_checkpoint(folder), []
    tests = record.setdefault('tests', {})
    for name, dataset in config.test_sets.items():
        if name not in tests:
            if variant.shuffle:
                dataset = _far_apart(name, dataset, config.test_dataloader.batch_size)
            tests[name] = _test(config, checkpoint, dataset, folder / 'tests' / name, hooks)
            write_record(folder, record)
        if time.time() > deadline:
            return len(tests) == len(config.test_sets)
    return True


def _train(
    config: Config, folder: Path, record: Dict[str, Any], deadline: float, start: Optional[str]
) -> bool:
    """Train from the newest checkpoint, if there is one; return whether training is complete."""
    config = copy.deepcopy(config)
    config.resume = True
    config.default_hooks.checkpoint.start_from = start
    locate_required_weights(config)
    runner = build_runner(config)
    recorder = Recorder(folder, record, deadline)
    runner.register_hook(recorder)
    runner.train()
    return not recorder.stopped


def weights_of(row: Row, results: Path) -> str:
    """Return the path of the last checkpoint of a run.

    Args:
        row: Variant and seed.
        results: Folder of the study's results.

    Raises:
        UserError: The run is not done, or its checkpoint does not exist.
    """
    if read_record(row.folder(results))['status'] != DONE:
        raise UserError(f"The run '{row}' is not done; run it first.")
    return _last_checkpoint(row.folder(results))


def _last_checkpoint(folder: Path) -> str:
    """Return the newest checkpoint in the folder of a run."""
    path = find_resumable(folder)
    if path is None:
        raise UserError(
            f"'{folder}' holds no readable checkpoint; delete the folder and run the variant again."
        )
    return path


def _test(
    config: Config, checkpoint: str, dataset: Dict[str, Any], folder: Path, hooks: List[Hook]
) -> Dict[str, Any]:
    """Test a checkpoint and return the :class:`Result` as plain values."""
    config = copy.deepcopy(config)
    config.load_from = checkpoint
    config.work_dir = str(folder / 'log')
    config.test_dataloader.dataset = dataset
    config.default_hooks.results = dict(type='mmspd.ResultsHook', out_dir=str(folder))
    runner = build_runner(config)
    for hook in hooks:
        runner.register_hook(hook)
    runner.test()
    result = asdict(Result.load(folder))
    for image in result['images']:
        del image['blurry'], image['sharp']  # paths of this machine
    return result


def _far_apart(name: str, dataset: Dict[str, Any], batch: int) -> Dict[str, Any]:
    """Reorder a test set so that the images of a batch come from distant parts of the set.

    Neighbors in the set show the same photo at another severity, or the next frame of a scene.
    """
    images = len(DATASETS.build(dataset))
    if batch < 2 or images % batch:
        raise UserError(
            f'test_dataloader.batch_size={batch} must be above 1 and divide the {images} images of '
            f'{name} to shuffle the priors; set it to a divisor of {images} above 1.'
        )
    step = images // batch
    order = [place + turn * step for place in range(step) for turn in range(batch)]
    return dict(**dataset, indices=order)


class _ShufflePrior(Hook):
    """Gives the restorer the prior of another image of the batch."""

    def before_test(self, runner: Any) -> None:
        """Shift the priors of each batch by one image."""
        if not hasattr(runner.model.generator, 'prior'):
            raise UserError('The variant in shuffle has no prior; set shuffle to a guided variant.')
        runner.model.generator.prior.register_forward_hook(_shift)
        # restore a batch as a whole; the model restores its images one by one
        runner.model.test_step = partial(BaseModel.test_step, runner.model)


def _shift(module: torch.nn.Module, inputs: Any, prior: List[torch.Tensor]) -> List[torch.Tensor]:
    return [level.roll(1, 0) for level in prior]
