# Fig. 7: the prior is features of a classification network, the paper's choice.
_base_ = '../unet_sp-paper_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'
