# Base of all guided recipes: the prior, its embedding and its distillation loss. The teacher comes
# from a file in teachers/.
guided = dict(
    type='mmspd.SemanticGuided',
    prior=dict(
        type='mmspd.SPL',
        extractor=dict(
            type='mmspd.ConvExtractor', width=48, strides=(2, 4, 8), num_blocks=(2, 4, 6)
        ),
        clc=dict(type='mmspd.CLC', gate=None),
    ),
    embedding=dict(
        type='mmspd.SPE',
        mla=dict(type='mmspd.MLA', gate=None),
        fusion=dict(type='mmspd.SAT'),
    ),
)
# A narrower extractor F_S, and with it a narrower CLC and embedding. For restorers that need few
# operations, such as NAFNet: the prior adds 19 % to it instead of 39 %.
guided_light = dict(
    guided,
    prior=dict(guided['prior'], extractor=dict(guided['prior']['extractor'], width=32)),
)
prior_loss = dict(
    type='mmspd.PriorDistillationLoss',
    hcl=dict(type='mmspd.HCLLoss', factors=(1, 2, 4), reading='mse'),
    loss_weight=0.1,
    # without normalization, the prior learns the scale of the teacher's features, which reduces
    # the PSNR (projects/prior_study/RESULTS.md)
    normalize=True,
)
