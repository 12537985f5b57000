"""Hooks, learning rate schedule, optimizer step and checkpoint loading of a training run."""

from mmspd.engine.adversarial_constructor import AdversarialConstructor
from mmspd.engine.checkpoint_hook import CheckpointHook
from mmspd.engine.convolution_hook import ConvolutionHook
from mmspd.engine.freeze_backbone_hook import FreezeBackboneHook
from mmspd.engine.invalid_loss_hook import InvalidLossHook
from mmspd.engine.load_check_hook import LoadCheckHook, load_local
from mmspd.engine.optim_wrapper import AmpOptimWrapper, OptimWrapper
from mmspd.engine.prefetch_hook import PrefetchHook
from mmspd.engine.progressive_lr import ProgressiveCosineLR
from mmspd.engine.resume_check_hook import ResumeCheckHook
from mmspd.engine.runtime_info_hook import RuntimeInfoHook
from mmspd.engine.seed_hook import IterationSeedHook

__all__ = [
    'AdversarialConstructor',
    'AmpOptimWrapper',
    'CheckpointHook',
    'ConvolutionHook',
    'FreezeBackboneHook',
    'InvalidLossHook',
    'IterationSeedHook',
    'LoadCheckHook',
    'OptimWrapper',
    'PrefetchHook',
    'ProgressiveCosineLR',
    'ResumeCheckHook',
    'RuntimeInfoHook',
    'load_local',
]
