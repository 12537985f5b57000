# MSSNet with its official recipe: MPRNet's, but with L1 and the frequency loss on six outputs.
# The steps that mprnet_gopro.py leaves out or changes are the same here.
_base_ = './mprnet_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    generator=dict(type='mmspd.MSSNet'),
    losses=dict(
        _delete_=True,
        loss_pix=dict(type='mmagic.L1Loss'),
        loss_freq=dict(type='mmspd.FrequencyLoss', loss_weight=0.1),
    ),
    multi_scale_targets='bilinear_corners',
)
