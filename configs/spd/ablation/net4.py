# Net4 of the paper's Table 4: Net3 with cross-level connections (CLC, Eq. 3).
_base_ = '../unet_sp-paper_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(generator=dict(embedding=dict(mla=None)))
