"""Compare the variants of a study within a time limit, on one device."""

import json
import time
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Sequence

import torch
from mmengine.config import Config

from mmspd.errors import UserError
from mmspd.evaluation.metrics import PSNR, SSIM
from mmspd.utils.files import write_text
from prior_study.plan import cost_of, digest_of
from prior_study.turns import Training, marks_until, train_in_turns
from prior_study.turns_data import PairSet, evaluate
from prior_study.turns_pictures import Pictures

__all__ = ['RECORD_NAME', 'Comparison']

RECORD_NAME = 'curves.json'
_MARKS = 8
_SAFETY = 1.1  # the later evaluations may take longer than the first


class Comparison:
    """A comparison of variants of a network that take turns on one device.

    All results are in a record, which is written to ``<out>/curves.json`` after each evaluation.

    Args:
        record: Description of the comparison, a dict for JSON. It receives ``runs``, a list with a
            dict for each seed: ``seed``, ``status`` (``'running'``, ``'stopped'`` by the time limit
            or ``'done'``) and ``variants``. Each variant has its cost,
            ``diverged`` and

            - ``batches``: Hashes of the samples of each of the first batches.
            - ``curve``: For each evaluation: ``seconds`` of training, the part ``waiting`` for the
              data loader, ``samples``, the mean ``loss`` since the last evaluation, and the
              ``psnr`` of each image of each test set in ``watched``.
            - ``tests``: For each test set: the metrics of each image after training.

        tests: The test sets.
        watched: The test sets, or parts of them, of the learning curves.
        device: Device of the trainings.
        out: Output folder.
    """

    def __init__(
        self,
        record: Dict[str, Any],
        tests: Sequence[PairSet],
        watched: Sequence[PairSet],
        device: torch.device,
        out: Path,
    ) -> None:
        self.record = dict(record, runs=[])
        self.tests = tests
        self.watched = watched
        self.device = device
        self.out = out

    def run(self, configs: Dict[str, Config], seed: int, turn: float, end: float) -> None:
        """Train the variants with a seed in turns, and test them.

        Args:
            configs: A dict from the name of each variant to its config.
            seed: The seed.
            turn: Longest turn in seconds.
            end: Time, in seconds since 1970, at which the tests must be over.

        Raises:
            UserError: The time is too short.
        """
        trainings = {name: Training(config, self.device, seed) for name, config in configs.items()}
        variants = {name: _describe(config) for name, config in configs.items()}
        run = dict(seed=seed, status='running', variants=variants)
        self.record['runs'].append(run)

        def watch(name: str) -> None:
            self._watch(name, trainings[name], variants[name])

        count = len(trainings)
        start = time.time()
        for name in trainings:
            watch(name)
        of_point = _SAFETY * (time.time() - start)  # of all variants
        start = time.time()
        *_, last = trainings.values()
        for tests in self.tests:  # before training, so that a fault in the data is found early
            evaluate(last.average.model, tests, _metrics())
        of_tests = _SAFETY * (time.time() - start) * count
        seconds = (end - of_tests - _MARKS * of_point - time.time()) / count
        if seconds <= 0:
            raise UserError(
                f'The tests take {of_tests + _MARKS * of_point:.0f} s, so the time limit leaves '
                'none for training; raise --minutes.'
            )
        deadline = end - of_tests - of_point
        complete = train_in_turns(trainings, marks_until(seconds, _MARKS), turn, watch, deadline)
        self._test(trainings, run)
        run['status'] = 'done' if complete else 'stopped'
        self._write()

    def _watch(self, name: str, training: Training, variant: Dict[str, Any]) -> None:
        """Add a point to the learning curve of a variant."""
        variant.update(batches=training.batches, diverged=training.diverged)
        if not training.diverged:
            point: Dict[str, Any] = dict(training.progress(), psnr={})
            for tests in self.watched:
                images = evaluate(training.average.model, tests, [PSNR()])
                point['psnr'][tests.name] = {image['key']: image['PSNR'] for image in images}
            variant['curve'].append(point)
            means = [f'{test} {_mean(psnr):.2f} dB' for test, psnr in point['psnr'].items()]
            place = f'{point["seconds"]:.1f} s, {point["samples"]} samples'
            print(f'{name}: {place}, {", ".join(means)}', flush=True)
        self._write()

    def _test(self, trainings: Dict[str, Training], run: Dict[str, Any]) -> None:
        """Test the variants, and show their images for the first seed."""
        for tests in self.tests:
            pictures = Pictures(self.out / f'{tests.name}.png')
            for name, training in trainings.items():
                if training.diverged:
                    continue
                show = partial(pictures.add, name)
                images = evaluate(training.average.model, tests, _metrics(), show)
                run['variants'][name]['tests'][tests.name] = images
                print(f'{name}: {tests.name} {_mean_of(images):.2f} dB', flush=True)
                self._write()
            if run is self.record['runs'][0]:
                pictures.write()

    def _write(self) -> None:
        write_text(self.out / RECORD_NAME, json.dumps(self.record) + '\n')


def _describe(config: Config) -> Dict[str, Any]:
    """Return the first entries of a variant's record."""
    results = dict(batches=[], diverged=False, curve=[], tests={})
    return dict(config=digest_of(config), **cost_of(config)._asdict(), **results)


def _metrics() -> List[Any]:
    return [PSNR(report_input=True), SSIM()]


def _mean(psnr: Dict[str, float]) -> float:
    return sum(psnr.values()) / len(psnr)


def _mean_of(images: Sequence[Dict[str, Any]]) -> float:
    return _mean({image['key']: image['PSNR'] for image in images})
