# Table 3, a step of MPRNet: the baseline with SAM, the supervised attention between the stages.
_base_ = './mprnet-baseline_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(generator=dict(sam=True))
