# Net0 of the paper's Table 4: UNet without a prior.
_base_ = '../unet_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'
