"""Helpers for tests: load and run tools, hooks that kill a process, a device-read counter."""

import importlib.util
import multiprocessing
import os
import runpy
import signal
import sys
import traceback
import types
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.config import config as mmengine_config
from mmengine.dataset import base_dataset
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch.utils._python_dispatch import TorchDispatchMode

# MMEngine formats a config with yapf when it saves or logs the config. This takes almost half the
# time of a tiny run. The unformatted text is the same Python.
mmengine_config.FormatCode = lambda text, **_: (text, False)
# MMEngine collects garbage after it builds a data set. This takes half a second, because all
# modules are examined.
base_dataset.gc = types.SimpleNamespace(collect=lambda: None)

TOOLS = Path(__file__).resolve().parents[1] / 'tools'

#: Text to append to a config: average the weights.
EMA = "custom_hooks = [dict(type='EMAHook', momentum=0.1)]\n"


def load_tool(name):
    """Import a tool, to call its ``main`` in this process."""
    spec = importlib.util.spec_from_file_location(f'tool_{Path(name).stem}', TOOLS / name)
    loaded = sys.modules.get(spec.name)
    if loaded is not None and loaded.__file__ == spec.origin:
        return loaded
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # worker processes find their functions by this name
    spec.loader.exec_module(module)
    return module


def run_tool(path, arguments, log, **environment):
    """Run a tool as a script, with the output in a file; called in a new process."""
    with open(log, 'w', buffering=1) as file:
        # redirect the descriptors, because worker processes and libraries write to them too
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        os.environ.update(environment)
        # shells let background jobs ignore Ctrl-C
        signal.signal(signal.SIGINT, signal.default_int_handler)
        torch.set_num_threads(1)
        # as in a script; a child of the server would start worker processes by another server
        multiprocessing.set_start_method(None, force=True)
        sys.argv = [path, *arguments]
        sys.path.insert(0, str(Path(path).parent))  # as Python does for a script
        runpy.run_path(path, run_name='__main__')


@HOOKS.register_module()
class KillAtIteration(Hook):
    """Kills the process before an iteration, like a cluster scheduler."""

    def __init__(self, at):
        self.at = at

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


@HOOKS.register_module()
class RequireBackend(Hook):
    """Fails if the ranks of a run are not connected by a backend."""

    def __init__(self, backend):
        self.backend = backend

    def before_train(self, runner):
        assert torch.distributed.get_backend() == self.backend


@HOOKS.register_module()
class KillDuringSave(Hook):
    """Kills the process at the n-th system call (fsync or replace) of checkpoint saving.

    In fsync, the file is cut to half of its bytes first.
    """

    def __init__(self, at):
        self.left = at

    def before_train(self, runner):
        real_fsync, real_replace = os.fsync, os.replace

        def fsync(handle):
            if self.is_time():
                size = os.fstat(handle).st_size
                if size and os.path.isfile(f'/proc/self/fd/{handle}'):
                    os.ftruncate(handle, size // 2)
                os.kill(os.getpid(), signal.SIGKILL)
            real_fsync(handle)

        def replace(old, new):
            if self.is_time():
                os.kill(os.getpid(), signal.SIGKILL)
            real_replace(old, new)

        os.fsync, os.replace = fsync, replace

    def is_time(self):
        self.left -= 1
        return self.left == 0


@HOOKS.register_module()
class SystemFault(Hook):
    """Kills the data loading processes, hides the data, or fills the disk in the second epoch."""

    def __init__(self, fault):
        self.fault = fault

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter != 3:
            return
        if self.fault == 'worker':
            for process in multiprocessing.active_children():
                os.kill(process.pid, signal.SIGKILL)
        elif self.fault == 'data':
            dataset = runner.train_dataloader.dataset
            dataset.get_data_info = lambda index: dict(
                type(dataset).get_data_info(dataset, index), img_path='/nowhere.png'
            )
        else:
            for handler in runner.logger.handlers:
                if hasattr(handler, 'baseFilename'):
                    handler.stream = Path('/dev/full').open('w')  # noqa: SIM115


def equal(one, other):
    """Return whether two checkpoints, or parts of them, are equal bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


class DeviceReads(TorchDispatchMode):
    """Records the stacks of operations that wait for a device, within a ``with`` block."""

    #: Callers that read values on the host on any device.
    HOST = (
        'data_preprocessor',
        'torch/optim',
        'torch/utils/data',
        'mmspd/datasets',
        'model/averaged_model',
    )
    OPERATORS = ('_local_scalar_dense', 'nonzero', 'masked_select', '_unique2')

    def __init__(self):
        super().__init__()
        self.places = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in self.OPERATORS:
            files = [frame.filename for frame in traceback.extract_stack()]
            if not any(part in file for part in self.HOST for file in files):
                self.places.append(files)
        return func(*args, **(kwargs or {}))


@contextmanager
def no_waiting(device):
    """Fail if an operation waits for the device within a ``with`` block."""
    if device.type == 'cpu':
        with DeviceReads() as reads:
            yield
        assert not reads.places
        return
    torch.cuda.set_sync_debug_mode('error')
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode('default')
