# Net0* of the paper's Table 4: the whole prior branch, trained by the restoration losses alone.
_base_ = '../unet_sp-paper_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(teacher=None, prior_loss=None)
