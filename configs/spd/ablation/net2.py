# Net2 of the paper's Table 4: the prior, distilled by Eq. 2, is concatenated to the decoder.
_base_ = '../unet_sp-paper_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    generator=dict(
        prior=dict(clc=None), embedding=dict(mla=None, fusion=dict(type='mmspd.ConcatFusion'))
    )
)
