# A small UNet without a prior: Net0 of the study.
_base_ = './data.py'

model = dict(
    type='mmspd.SemanticPriorDeblurrer',
    generator=dict(type='mmspd.UNet', base=16, num_res=3),
    losses=dict(loss_pix=dict(type='mmagic.L1Loss')),
)
