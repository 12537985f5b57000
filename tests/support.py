"""What tests need in processes of their own: a tiny config, tools as functions, hooks that kill."""

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

#: A MIMO-UNet of a few thousand weights with dropout, 2 epochs of 3 iterations.
CONFIG = """
_base_ = r'{base}'
model = dict(
    type='mmspd.SemanticPriorDeblurrer',
    generator=dict(type='mmspd.MIMOUNet', base=4, num_res=1, dropout=0.3),
    losses=dict(
        loss_pix=dict(type='mmagic.L1Loss'),
        loss_freq=dict(type='mmspd.FrequencyLoss', loss_weight=0.1)))
train_dataloader = dict(
    batch_size=2, num_workers=0,
    sampler=dict(type='mmspd.SeededSampler', shuffle=True),
    dataset=dict(
        type='mmspd.PairedFolderDataset', data_root=r'{pairs}/train',
        pipeline=[
            dict(type='mmspd.LoadImagePair'),
            dict(type='mmagic.PairedRandomCrop', gt_patch_size=16),
            dict(type='mmagic.Flip', keys=['img', 'gt'], flip_ratio=0.5),
            dict(type='mmagic.PackInputs', meta_keys=['key'])]))
val_dataloader = dict(
    batch_size=1, num_workers=0,
    sampler=dict(type='mmspd.SeededSampler', shuffle=False),
    dataset=dict(
        type='mmspd.PairedFolderDataset', data_root=r'{pairs}/val',
        pipeline=[
            dict(type='mmspd.LoadImagePair'),
            dict(type='mmagic.PackInputs', meta_keys=['key'])]))
test_dataloader = val_dataloader
val_evaluator = dict(type='mmengine.Evaluator', metrics=[dict(type='mmspd.PSNR')])
test_evaluator = val_evaluator
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=2e-3))
param_scheduler = dict(type='CosineAnnealingLR', by_epoch=False, eta_min=1e-5)
train_cfg = dict(by_epoch=True, max_epochs=2)
val_cfg = dict()
test_cfg = dict()
default_hooks = dict(logger=dict(interval=1))
log_processor = dict(window_size=1)
"""

#: Appended to the config: the part of the model that makes it a guided one.
GUIDED = """
model['generator'] = dict(
    type='mmspd.SemanticGuided', restorer=model['generator'],
    prior=dict(
        type='mmspd.SPL', clc=dict(type='mmspd.CLC'),
        extractor=dict(type='mmspd.ConvExtractor', width=4, num_blocks=(1, 1, 1))),
    embedding=dict(
        type='mmspd.SPE', mla=dict(type='mmspd.MLA'), fusion=dict(type='mmspd.SAT')))
"""

#: Appended to a guided one: a teacher of random weights, its features normalized over the ranks.
TAUGHT = """
model['teacher'] = dict(
    type='mmspd.FeatureTeacher', channels=(8, 16, 32), weights='random', scale=2,
    backbone=dict(type='mmpretrain.ResNet', depth=18, stem_channels=4, base_channels=8,
                  out_indices=(0, 1, 2)))
model['prior_loss'] = dict(type='mmspd.PriorDistillationLoss', normalize=True)
"""

#: What makes the restorer of a recipe small, by its type: width and depth.
SMALL_RESTORERS = {
    'mmspd.DMPHN': dict(base=4),
    'mmspd.DeepDeblur': dict(base=4, num_res=1),
    'mmspd.UNet': dict(base=4, num_res=1),
    'mmspd.MIMOUNet': dict(base=4, num_res=1),
    'mmspd.MPRNet': dict(base=8, growth=4, orsnet_growth=4, num_cab=1),
    'mmspd.MSSNet': dict(base=4, growth=4, coarse_growth=4),
    'mmagic.Restormer': dict(dim=8, num_blocks=[1, 1, 1, 1], num_refinement_blocks=1),
    'mmagic.NAFNetLocal': dict(mid_channels=4, enc_blk_nums=[1, 1, 1, 1]),
}

EMA = "custom_hooks = [dict(type='EMAHook', momentum=0.1)]\n"


def load_tool(name):
    """Import a tool, to call its ``main`` without a process of its own."""
    spec = importlib.util.spec_from_file_location(Path(name).stem, TOOLS / name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # or its functions could not be sent to other processes
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
