# Net0* of the paper's Table 4: CLC, MLA and SAT, without a teacher.
_base_ = '../unet_sp-paper_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(teacher=None, prior_loss=None)
