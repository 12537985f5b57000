# Table 3, step 2 of MIMO-UNet: AFF and the downsampled images as additional inputs.
_base_ = './mimounet-aff_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(generator=dict(multi_input=True))
