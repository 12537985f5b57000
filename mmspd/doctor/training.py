"""Train a small guided network in each precision, with a stop and a resume."""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import List, NamedTuple, Sequence

import cv2
import numpy as np

from mmspd.datasets.image_io import write_png
from mmspd.doctor.outcome import advice_of, outcome_line, read_outcome
from mmspd.doctor.report import Line
from mmspd.utils.device import has_accelerator
from mmspd.utils.package_files import package_file

__all__ = ['TIME_LIMIT', 'training_lines']

#: Seconds for all runs together.
TIME_LIMIT = 30.0
#: Steps of an epoch; a run has two epochs. The stopped run stops before its fourth step.
_STEPS, _STOP_AT = 2, 3
_PRECISIONS = ('float32', 'bfloat16')  # of all devices
_RECIPE = package_file('configs', 'own_data', 'mimounet_sp_pairs.py')


class _Size(NamedTuple):
    """The size of the training on a kind of device."""

    batch: int
    crop: int
    options: Sequence[str] = ()


#: A CPU trains a network with few layers, whose layers have the widths of the recipe.
_ON_CPU = _Size(
    1,
    96,
    ('model.generator.restorer.num_res=1', 'model.generator.prior.extractor.num_blocks=1,1,1'),
)
_ON_ACCELERATOR = _Size(4, 128)


def training_lines() -> List[Line]:
    """Train in float32 and bfloat16, and on an accelerator also in float16.

    Each precision trains a run to its end, stops another run, and resumes this run in a new
    process. ``tools/train.py`` runs the stock runner with a shipped recipe, on made-up pairs in a
    temporary folder, with the teacher whose weights are installed with mmspd.

    Returns:
        A line for each precision. The advice is in the last line.
    """
    precisions = [*_PRECISIONS, *['float16'] * has_accelerator()]
    size = _ON_ACCELERATOR if has_accelerator() else _ON_CPU
    with TemporaryDirectory(prefix='mmspd-doctor-') as name:
        folder = Path(name)
        _make_pairs(folder / 'pairs', size)
        for precision in precisions:
            for part in ('full', 'stopped', 'resumed'):
                _write_run(folder, part, precision, size)
        # the steps of a precision are far apart, so that other work on the machine matters less
        names = [[f'{part}-{p}' for p in precisions] for part in ('full', 'stopped', 'resumed')]
        _train(folder, [names[0] + names[1], names[2]])
        outcomes = {precision: read_outcome(folder, precision) for precision in precisions}
    lines = [outcome_line(outcome, outcomes['float32'].seconds) for outcome in outcomes.values()]
    if not has_accelerator():
        lines.append(Line('-', 'float16', 'not trained; it needs an accelerator'))
    lines[-1] = lines[-1]._replace(advice=advice_of(outcomes))
    return lines


def _make_pairs(root: Path, size: _Size) -> None:
    """Write pairs of smooth noise and the same noise with horizontal blur."""
    rng = np.random.default_rng(0)
    side = size.crop + 32
    for number in range(size.batch * _STEPS):
        noise = rng.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
        sharp = cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)
        for kind, image in (('input', cv2.blur(sharp, (9, 1))), ('target', sharp)):
            path = root / 'train' / kind / f'{number}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            write_png(path, image)


def _write_run(folder: Path, part: str, precision: str, size: _Size) -> None:
    """Write the config and the arguments of a run."""
    name = f'{part}-{precision}'
    hook = dict(type='mmspd.StepHook', file=str(folder / f'{precision}.steps'))
    settings = dict(
        _base_=str(_RECIPE),
        experiment_name=name,  # names of experiments are unique in a process
        work_dir=str(folder / ('full' if part == 'full' else 'stopped') / precision),
        custom_hooks=[dict(hook, stop_at=_STOP_AT if part == 'stopped' else None)],
    )
    config = folder / f'{name}.py'
    config.write_text(''.join(f'{key} = {value!r}\n' for key, value in settings.items()))
    amp = precision != 'float32'
    arguments = [str(config), *['--amp'] * amp, *['--resume'] * (part == 'resumed')]
    options = [
        'train_cfg.max_epochs=2',
        f'train_dataloader.batch_size={size.batch}',
        'train_dataloader.num_workers=0',
        f'train_dataloader.dataset.pipeline.1.gt_patch_size={size.crop}',
        'default_hooks.checkpoint.save_best=None',
        *[f'{key}=None' for key in ('val_cfg', 'val_dataloader', 'val_evaluator')],
        *[f'optim_wrapper.dtype={precision}'] * amp,
        # the usual scale overflows in the first steps, which then change no weights
        *['optim_wrapper.loss_scale.init_scale=1024.'] * (precision == 'float16'),
        *size.options,
    ]
    text = json.dumps([*arguments, '--cfg-options', *options])
    (folder / f'{name}.json').write_text(text)


def _train(folder: Path, groups: List[List[str]]) -> None:
    """Train groups of runs, each in a new process, within the time limit."""
    environment = dict(os.environ, PAIRS_ROOT=str(folder / 'pairs'))
    for variable in ('MMSPD_PACKED', 'MMSPD_TEACHER'):
        environment.pop(variable, None)
    arguments = [str(folder), str(TIME_LIMIT), json.dumps(groups)]
    log_file = folder / 'log'
    with log_file.open('w') as log:
        done = subprocess.run(
            [sys.executable, '-m', 'mmspd.doctor.trial', *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(log_file.read_text().strip().rpartition('\n')[2])
