# Table 3, step 1 of MIMO-UNet: the baseline with AFF, which fuses all encoder levels for each skip.
_base_ = './mimounet-baseline_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(generator=dict(aff=True))
