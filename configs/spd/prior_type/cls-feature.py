# Fig. 7: features of a classification network as the prior, which is the paper's choice.
_base_ = '../unet_sp-paper_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'
