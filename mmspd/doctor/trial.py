"""Train runs in processes of their own: ``python -m mmspd.doctor.trial FOLDER SECONDS GROUPS``.

A crash or an endless run does not end the doctor, and a resumed run is in a new process, as a
user's is.
"""

import gc
import importlib
import json
import multiprocessing
import runpy
import signal
import sys
import time
from pathlib import Path
from typing import Any, List, Optional

from mmengine.config import config as mmengine_config
from mmengine.hooks import Hook

from mmspd.registry import HOOKS
from mmspd.utils.device import has_accelerator
from mmspd.utils.failures import failure_of
from mmspd.utils.package_files import package_file

__all__ = ['StepHook', 'main', 'train']

#: Packages that a run imports.
_PRELOADED = (
    'mmengine.runner',
    'mmpretrain.models',
    'mmspd.datasets',
    'mmspd.engine.runner',
    'mmspd.models',
    'torch.utils.tensorboard',
)


class _StopError(KeyboardInterrupt):
    """Stops a run as Ctrl-C does."""


class StepHook(Hook):
    """Writes the seconds of each training step to a file, and can stop the run.

    Args:
        file: File to append the seconds to.
        stop_at: Number of the step, counted from 0, before which the run stops; None for no stop.
    """

    def __init__(self, file: str, stop_at: Optional[int] = None) -> None:
        self.file = Path(file)
        self.stop_at = stop_at

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Stop the run, or start the clock.

        Args:
            runner: MMEngine's runner.
            batch_idx: Not used.
            data_batch: Not used.

        Raises:
            KeyboardInterrupt: The run stops here.
        """
        if runner.iter == self.stop_at:
            raise _StopError
        self._start = _time_of(runner)

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Write the seconds of the step.

        Args:
            runner: MMEngine's runner.
            batch_idx: Not used.
            data_batch: Not used.
            outputs: Not used.
        """
        with self.file.open('a') as file:
            file.write(f'{_time_of(runner) - self._start}\n')


def _time_of(runner: Any) -> float:
    """Return the time when the device has finished its work."""
    float(next(runner.model.parameters()).flatten()[0])
    return time.perf_counter()


def main(folder: Path, seconds: float, groups: List[List[str]]) -> None:
    """Train groups of runs, each group in a new process.

    After a crash, another process trains the next runs of the group.

    Args:
        folder: Folder of the runs; see :func:`train`.
        seconds: Time for everything. Then a run is killed, and no other run starts.
        groups: The names of the runs.
    """
    deadline = time.monotonic() + seconds
    context = _context()
    for group in groups:
        names = group
        while names and time.monotonic() < deadline:
            code = _train_in_process(context, folder, names, deadline - time.monotonic())
            if code in (0, None):
                break
            last = (folder / 'current').read_text()
            cause = f'the signal {signal.Signals(-code).name}' if code < 0 else f'exit code {code}'
            (folder / f'{last}.error').write_text(f'the process ended with {cause}')
            names = names[names.index(last) + 1 :]


def _context() -> Any:
    """Return the way to start processes.

    A forked process saves the time of the imports. It cannot use an accelerator, because MMEngine
    has looked for accelerators in this process.
    """
    if has_accelerator():
        return multiprocessing.get_context('spawn')
    for package in _PRELOADED:
        importlib.import_module(package)
    gc.freeze()  # MMEngine collects garbage for each data set, which would take half a second
    return multiprocessing.get_context('fork')


def _train_in_process(
    context: Any, folder: Path, names: List[str], seconds: float
) -> Optional[int]:
    """Train runs, and return the exit code of the process; None at the end of the time."""
    (folder / 'current').write_text(names[0])
    process = context.Process(target=train, args=(folder, names))
    process.start()
    try:
        process.join(seconds)
        return process.exitcode
    finally:
        process.kill()
        process.join()


def train(folder: Path, names: List[str]) -> None:
    """Train runs one after the other with ``tools/train.py``.

    Args:
        folder: Folder of the runs. ``NAME.json`` holds the arguments of a run. The name of the
            current run is written to ``current``, and the error of a run to ``NAME.error``.
        names: The names of the runs.
    """
    HOOKS.register_module(module=StepHook, force=True)
    # MMEngine formats a config whenever it saves or logs the config, which takes seconds here. The
    # unformatted text is the same Python.
    mmengine_config.FormatCode = lambda text, **_: (text, False)
    main_of_tool = runpy.run_path(str(package_file('tools', 'train.py')))['main']
    for name in names:
        (folder / 'current').write_text(name)
        try:
            main_of_tool(json.loads((folder / f'{name}.json').read_text()))
        except _StopError:
            print(f'{name} was stopped.', flush=True)
        except Exception as error:
            failure = failure_of(error)
            text = f'{type(error).__name__}: {error}' if failure is None else failure.sentence
            (folder / f'{name}.error').write_text(' '.join(text.split()))


if __name__ == '__main__':
    main(Path(sys.argv[1]), float(sys.argv[2]), json.loads(sys.argv[3]))
