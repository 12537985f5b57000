# Net6 of the paper's Table 4: everything, which is the default.
_base_ = ['../unet_sp_gopro.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'
