# Table 3, step 3 of MIMO-UNet: AFF, multiple inputs and multiple outputs, each with its L1.
_base_ = './mimounet-aff-mi_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(generator=dict(multi_output=True))
