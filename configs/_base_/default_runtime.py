# The base of every recipe. The hooks of mmspd are in default_hooks, a dict that merges with the
# dict of a child config. A child config replaces the list custom_hooks, so use this list for your
# own hooks, for example EMAHook.
default_scope = 'mmagic'
# importing mmspd repairs MMagic, so import mmspd before any part of MMagic is built
custom_imports = dict(imports=['mmspd'], allow_failed_imports=False)

load_from = None
resume = False
randomness = dict(seed=0)

env_cfg = dict(
    cudnn_benchmark=None,  # by the rule of ConvolutionHook
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

default_hooks = dict(
    # MMEngine's RuntimeInfoHook waits for the device in every iteration
    runtime_info=dict(type='mmspd.RuntimeInfoHook'),
    # MMagic's timer fails in MMEngine's ValLoop
    timer=dict(type='mmengine.IterTimerHook'),
    logger=dict(type='mmengine.LoggerHook', interval=100),
    param_scheduler=dict(type='mmengine.ParamSchedulerHook'),
    sampler_seed=dict(type='mmengine.DistSamplerSeedHook'),
    # without this hook, every rank would validate with different running averages
    sync_buffers=dict(type='mmengine.SyncBuffersHook'),
    convolutions=dict(type='mmspd.ConvolutionHook'),
    iteration_seed=dict(type='mmspd.IterationSeedHook'),
    invalid_loss=dict(type='mmspd.InvalidLossHook'),
    load_check=dict(type='mmspd.LoadCheckHook'),
    resume_check=dict(type='mmspd.ResumeCheckHook'),
    checkpoint=dict(
        type='mmspd.CheckpointHook',
        interval=1,
        by_epoch=True,
        max_keep_ckpts=3,
        save_best='PSNR',
        rule='greater',
    ),
    results=dict(type='mmspd.ResultsHook'),
)

log_level = 'INFO'
log_processor = dict(type='mmengine.LogProcessor', window_size=100, by_epoch=True)
visualizer = dict(
    type='mmengine.Visualizer',
    vis_backends=[
        dict(type='mmengine.LocalVisBackend'),
        dict(type='mmengine.TensorboardVisBackend'),
    ],
)
