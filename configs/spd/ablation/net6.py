# Net6 of the paper's Table 4: the complete method (HCL, CLC, MLA and SAT).
_base_ = '../unet_sp-paper_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'
