# MIMO-UNet+: MIMO-UNet with 20 residual blocks per level and a dropout of 0.1.
_base_ = './mimounet_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(generator=dict(num_res=20, dropout=0.1))
