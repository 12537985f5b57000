# Net5 of the paper's Table 4: Net3 with multi-level aggregation (MLA).
_base_ = '../unet_sp-paper_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(generator=dict(prior=dict(clc=None)))
