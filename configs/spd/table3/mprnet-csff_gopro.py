# Table 3, a step of MPRNet: the baseline with CSFF, the fusion of features across the stages.
_base_ = './mprnet-baseline_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(generator=dict(csff=True))
