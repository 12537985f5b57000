"""What tests need in processes of their own: tools as functions, hooks that kill."""

import importlib.util
import os
import runpy
import signal
import sys
import traceback
from pathlib import Path

import torch
from mmengine.config import config as mmengine_config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch.utils._python_dispatch import TorchDispatchMode

# MMEngine formats the config's text with yapf whenever it saves or logs it, which takes almost half
# the time of a tiny run; unformatted it is the same Python.
mmengine_config.FormatCode = lambda text, **_: (text, False)

TOOLS = Path(__file__).resolve().parents[1] / 'tools'

#: Appended to a config: averaged weights.
EMA = "custom_hooks = [dict(type='EMAHook', momentum=0.1)]\n"


def load_tool(name):
    """Import a tool, to call its ``main`` without a process of its own."""
    spec = importlib.util.spec_from_file_location(f'tool_{Path(name).stem}', TOOLS / name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its worker processes find their functions by this name
    spec.loader.exec_module(module)
    return module


def run_tool(path, arguments, log, **environment):
    """Run a tool of the repository as its own process does, its output in a file."""
    with open(log, 'w', buffering=1) as file:
        # the descriptors, not only Python's streams: worker processes and libraries write as well
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        os.environ.update(environment)
        torch.set_num_threads(1)
        sys.argv = [path, *arguments]
        sys.path.insert(0, str(Path(path).parent))  # as of a script of its own
        runpy.run_path(path, run_name='__main__')


@HOOKS.register_module()
class KillAtIteration(Hook):
    """Kill the process as a scheduler would, in front of an iteration."""

    def __init__(self, at):
        self.at = at

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


@HOOKS.register_module()
class KillDuringSave(Hook):
    """Kill the process at its n-th call of the system while it saves checkpoints.

    In the middle of a write the file holds half of its bytes.
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


class DeviceReads(TorchDispatchMode):
    """Lists, within a ``with``, from where values are read that a device would be waited for."""

    #: What reads values that lie on the host whatever the device is.
    HOST = ('data_preprocessor', 'torch/optim', 'torch/utils/data', 'mmspd/datasets')
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
