# What every recipe shares. All hooks of mmspd are in default_hooks, which merges with a child
# config's, so that custom_hooks (a list, replaced as a whole) stays the user's, e.g. for EMAHook.
default_scope = 'mmagic'
# before anything of MMagic is looked up: importing mmspd applies its repairs of the stack
custom_imports = dict(imports=['mmspd'], allow_failed_imports=False)

load_from = None
resume = False
randomness = dict(seed=0)

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

default_hooks = dict(
    # MMEngine's waits for the device in every iteration
    runtime_info=dict(type='mmspd.RuntimeInfoHook'),
    # MMagic's timer of the same name fails under the stock ValLoop
    timer=dict(type='mmengine.IterTimerHook'),
    logger=dict(type='mmengine.LoggerHook', interval=100),
    param_scheduler=dict(type='mmengine.ParamSchedulerHook'),
    sampler_seed=dict(type='mmengine.DistSamplerSeedHook'),
    # or every rank would validate with running averages of its own
    sync_buffers=dict(type='mmengine.SyncBuffersHook'),
    iteration_seed=dict(type='mmspd.IterationSeedHook'),
    invalid_loss=dict(type='mmspd.InvalidLossHook'),
    load_check=dict(type='mmspd.LoadCheckHook'),
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
