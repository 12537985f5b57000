# A small MIMO-UNet without a prior, with its own losses.
_base_ = './data.py'

model = dict(
    type='mmspd.SemanticPriorDeblurrer',
    generator=dict(type='mmspd.MIMOUNet', base=16, num_res=3),
    losses=dict(
        loss_pix=dict(type='mmagic.L1Loss'),
        loss_freq=dict(type='mmspd.FrequencyLoss', loss_weight=0.1),
    ),
)
