# Fig. 7: features of a classification network as the prior, which is the default.
_base_ = ['../unet_sp_gopro.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'
