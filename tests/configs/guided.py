# The tiny restorer, guided by a prior.
_base_ = './tiny.py'

model = dict(
    generator=dict(
        _delete_=True,
        type='mmspd.SemanticGuided',
        restorer=_base_.model.generator,
        prior=dict(
            type='mmspd.SPL',
            clc=dict(type='mmspd.CLC'),
            extractor=dict(type='mmspd.ConvExtractor', width=4, num_blocks=(1, 1, 1)),
        ),
        embedding=dict(type='mmspd.SPE', mla=dict(type='mmspd.MLA'), fusion=dict(type='mmspd.SAT')),
    )
)
