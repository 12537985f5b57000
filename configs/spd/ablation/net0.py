# Net0 of the paper's Table 4: the UNet alone.
_base_ = '../unet_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'
