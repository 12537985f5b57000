# Does the prior help? Run what is not done yet, the most valuable first:
#   python projects/prior_study/run.py projects/prior_study/configs/main.py --jobs 2 --minutes 60
# (one row: --only net6 --seeds 0).
# A variant is a config of this folder with its changes; see projects/prior_study/README.md.
epochs = 20  # of 150 steps
val_interval = 2
# half the time of float32 on a CPU that computes in bfloat16; net0-float32 and net6-float32 tell
# what that changes
options = dict(
    model=dict(channels_last=True),
    optim_wrapper=dict(dtype='bfloat16'),
)
float32 = dict(optim_wrapper=dict(dtype=None))

weights = 'checkpoints'
lite_input = dict(mean=[127.0, 127.0, 127.0], std=[128.0, 128.0, 128.0])
imagenet_input = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
lite0 = dict(
    type='mmpretrain.TIMMBackbone',
    model_name='tf_efficientnet_lite0',
    features_only=True,
    out_indices=(1, 2, 3),
)
# the teacher's own architecture as the student, on the image enlarged as the teacher's is
teacher_as_student = dict(
    _delete_=True,
    type='mmspd.BackboneExtractor',
    backbone=lite0,
    weights=f'{weights}/tf_efficientnet_lite0.pth',
    width=32,
    scale=2,
    **lite_input,
)
espnetv2 = f'{weights}/espnetv2_s_2.0_city_1024x512.pth'
no_teacher = dict(teacher=None, prior_loss=None)
scratch = dict(teacher_as_student, weights='random')
shown_in_its_scale = dict(extractor=teacher_as_student, normalize=True)
scratch_in_its_scale = dict(extractor=scratch, normalize=True)
normalised = {'model.prior_loss.normalize': True}

table4 = [
    dict(
        name='net1',
        about='no CLC, no MLA, sum',
        base='unet_sp.py',
        options={
            'model.generator.prior.clc': None,
            'model.generator.embedding': dict(mla=None, fusion=dict(type='mmspd.AddFusion')),
        },
    ),
    dict(
        name='net2',
        about='no CLC, no MLA, concatenation',
        base='unet_sp.py',
        options={
            'model.generator.prior.clc': None,
            'model.generator.embedding': dict(mla=None, fusion=dict(type='mmspd.ConcatFusion')),
        },
    ),
    dict(
        name='net3',
        about='no CLC, no MLA, SAT',
        base='unet_sp.py',
        options={'model.generator.prior.clc': None, 'model.generator.embedding.mla': None},
    ),
    dict(
        name='net4',
        about='CLC, SAT',
        base='unet_sp.py',
        options={'model.generator.embedding.mla': None},
    ),
    dict(
        name='net5',
        about='MLA, SAT',
        base='unet_sp.py',
        options={'model.generator.prior.clc': None},
    ),
]
# one change each to the variant 'normalised'
choices = [
    # F_S
    dict(
        name='scratch-normalised',
        about="F_S: the teacher's architecture, from scratch",
        base='unet_sp.py',
        options={'model.generator.prior.extractor': scratch},
    ),
    # the teacher
    dict(
        name='teacher-lite1',
        about='EfficientNet-Lite1',
        base='unet_sp.py',
        options={
            'model.teacher.backbone.model_name': 'tf_efficientnet_lite1',
            'model.teacher.weights': f'{weights}/tf_efficientnet_lite1.pth',
        },
    ),
    dict(
        name='teacher-lite2',
        about='EfficientNet-Lite2',
        base='unet_sp.py',
        options={
            'model.teacher.backbone.model_name': 'tf_efficientnet_lite2',
            'model.teacher.channels': (24, 48, 120),
            'model.teacher.weights': f'{weights}/tf_efficientnet_lite2.pth',
        },
    ),
    dict(
        name='teacher-seg',
        about='segmentation network (ESPNetv2)',
        base='unet_sp.py',
        options={
            'model.teacher': dict(
                _delete_=True,
                type='mmspd.FeatureTeacher',
                backbone=dict(type='mmspd.ESPNetv2Backbone', out_indices=(1, 2, 3)),
                channels=(128, 256, 512),
                weights=espnetv2,
                scale=2,
                **imagenet_input,
            ),
        },
    ),
    dict(
        name='teacher-scale1',
        about='teacher shown the image as it is, prior at strides 4/8/16',
        base='unet_sp.py',
        options={
            'model.teacher.scale': 1,
            'model.generator.prior.extractor.strides': (4, 8, 16),
        },
    ),
    # levels
    dict(
        name='levels1',
        about='one level, stride 4',
        base='unet_sp.py',
        options={
            'model.teacher.backbone.out_indices': (2,),
            'model.teacher.channels': (40,),
            'model.generator.prior.extractor': dict(strides=(4,), num_blocks=(6,)),
            'model.generator.seams': [dict(name=f'dec{i}', level=0) for i in (3, 2, 1)],
        },
    ),
    dict(
        name='levels2',
        about='two levels, strides 2 and 4',
        base='unet_sp.py',
        options={
            'model.teacher.backbone.out_indices': (1, 2),
            'model.teacher.channels': (24, 40),
            'model.generator.prior.extractor': dict(strides=(2, 4), num_blocks=(1, 5)),
            'model.generator.seams': [
                dict(name='dec3', level=1),
                dict(name='dec2', level=1),
                dict(name='dec1', level=0),
            ],
        },
    ),
    # the prior loss
    *[
        dict(
            name=f'hcl-{reading}',
            about=about,
            base='unet_sp.py',
            options={'model.prior_loss.hcl': dict(type='mmspd.HCLLoss', reading=reading)},
        )
        for reading, about in (('reviewkd', "ReviewKD's HCL"), ('literal', 'Eq. 2 as printed'))
    ],
    *[
        dict(
            name=f'weight{weight}',
            about=f'prior loss times {weight}',
            base='unet_sp.py',
            options={'model.prior_loss.loss_weight': weight},
        )
        for weight in (0.01, 0.03, 0.3, 1.0)
    ],
    # how the prior learns and is taken
    dict(
        name='detached',
        about='the prior learns from the teacher alone',
        base='unet_sp.py',
        options={'model.generator.detach_prior': True},
    ),
    dict(
        name='gated',
        about='sigmoid on the attention of CLC and MLA',
        base='unet_sp.py',
        options={
            'model.generator.prior.clc': dict(type='mmspd.CLC', gate='sigmoid'),
            'model.generator.embedding.mla': dict(type='mmspd.MLA', gate='sigmoid'),
        },
    ),
    # distillation first, then all: as many epochs in sum
    dict(
        name='prior-first',
        about='the prior alone learns (first part of warm)',
        base='unet_sp.py',
        length=0.3,
        options={'model.losses': dict(_delete_=True)},
    ),
    dict(
        name='warm',
        about='all after prior-first',
        base='unet_sp.py',
        length=0.7,
        start_from='prior-first',
    ),
]

variants = [
    # the main comparison
    dict(name='net0', about='UNet alone', base='unet.py'),
    dict(
        name='net0-wide',
        about='UNet as costly as net6',
        base='unet.py',
        match_macs=dict(to='net6', key='model.generator.base'),
    ),
    dict(
        name='net0-star',
        about='prior branch, no distillation',
        base='unet_sp.py',
        options=dict(model=no_teacher),
    ),
    dict(
        name='random-teacher',
        about='teacher of random weights',
        base='unet_sp.py',
        options=dict(model=dict(teacher=dict(weights='random'))),
    ),
    dict(name='net6', about='CLC, MLA, SAT', base='unet_sp.py'),
    # is the budget long enough for Net0, and does the precision matter?
    dict(name='net0-short', about='net0, half the steps', base='unet.py', length=0.5),
    dict(name='net0-long', about='net0, twice the steps', base='unet.py', length=2),
    dict(name='net6-long', about='net6, twice the steps', base='unet_sp.py', length=2),
    dict(name='net0-float32', about='net0 in float32', base='unet.py', options=float32),
    dict(name='net6-float32', about='net6 in float32', base='unet_sp.py', options=float32),
    # more controls
    dict(
        name='blurry-teacher',
        about='teacher shown the blurry image',
        base='unet_sp.py',
        options=dict(model=dict(teacher_sees='blurry')),
    ),
    dict(name='shuffled', about="net6, shown another image's prior", shuffle='net6'),
    dict(name='shuffled-star', about="net0-star, another image's prior", shuffle='net0-star'),
    dict(name='shuffled-normalised', about="normalised, another's prior", shuffle='normalised'),
    dict(
        name='random-teacher-normalised',
        about='teacher of random weights, features normalised',
        base='unet_sp.py',
        options=dict(model=dict(teacher=dict(weights='random'), prior_loss=dict(normalize=True))),
    ),
    dict(
        name='blurry-teacher-normalised',
        about='teacher shown the blurry image, features normalised',
        base='unet_sp.py',
        options=dict(model=dict(teacher_sees='blurry', prior_loss=dict(normalize=True))),
    ),
    dict(name='shuffled-started', about="student-started, another's", shuffle='student-started'),
    # F_S, and what mends net6
    dict(
        name='student-started',
        about="F_S: the teacher's architecture, from its weights",
        base='unet_sp.py',
        options={'model.generator.prior.extractor': teacher_as_student},
    ),
    dict(
        name='student-started-star',
        about="the teacher's architecture from its weights, no distillation",
        base='unet_sp.py',
        options=dict(
            model=dict(generator=dict(prior=dict(extractor=teacher_as_student)), **no_teacher)
        ),
    ),
    dict(
        name='net0-wide-started',
        about='UNet as costly as student-started',
        base='unet.py',
        match_macs=dict(to='student-started', key='model.generator.base'),
    ),
    dict(
        name='normalised',
        about="teacher's features normalised",
        base='unet_sp.py',
        options=normalised,
    ),
    dict(
        name='net6-weight0.01',
        about='net6, prior loss times 0.01',
        base='unet_sp.py',
        options={'model.prior_loss.loss_weight': 0.01},
    ),
    dict(
        name='prior-norm',
        about='net6, every pixel of the prior normalised where the restorer takes it',
        base='unet_sp.py',
        options={'model.generator.prior.normalize': True},
    ),
    dict(
        name='started-norm',
        about='student-started, prior normalised where it is taken',
        base='unet_sp.py',
        options={'model.generator.prior': shown_in_its_scale},
    ),
    dict(
        name='started-norm-star',
        about='started-norm without distillation',
        base='unet_sp.py',
        options=dict(model=dict(generator=dict(prior=shown_in_its_scale), **no_teacher)),
    ),
    dict(
        name='started-both',
        about="started-norm, teacher's features normalised too",
        base='unet_sp.py',
        options={'model.generator.prior': shown_in_its_scale, **normalised},
    ),
    dict(
        name='scratch-norm-star',
        about='started-norm-star from random weights',
        base='unet_sp.py',
        options=dict(model=dict(generator=dict(prior=scratch_in_its_scale), **no_teacher)),
    ),
    dict(
        name='started-normalised',
        about="normalised, F_S: the teacher's architecture, from its weights",
        base='unet_sp.py',
        options={'model.generator.prior.extractor': teacher_as_student, **normalised},
    ),
    dict(
        name='segmap',
        about='segmentation map as the prior',
        base='unet_sp.py',
        options={
            'model.generator.prior': dict(type='mmspd.SegmapSPL', num_classes=20),
            'model.teacher': dict(
                _delete_=True,
                type='mmspd.SegmapTeacher',
                segmentor=dict(type='mmspd.ESPNetv2', num_classes=20),
                channels=(20, 20, 20),
                weights=espnetv2,
                **imagenet_input,
            ),
            'model.prior_loss': dict(
                _delete_=True, type='mmspd.SegmapDistillationLoss', loss_weight=0.1
            ),
        },
    ),
    *table4,
    *[
        dict(
            entry,
            name=f'{entry["name"]}-normalised',
            about=f'normalised, {entry["about"]}',
            options={**entry['options'], **normalised},
        )
        for entry in table4
    ],
    *[
        dict(
            entry,
            about=f'normalised, {entry["about"]}',
            options={**entry.get('options', {}), **normalised},
        )
        for entry in choices
    ],
]

main = ['net0', 'net6', 'net0-wide', 'net0-star', 'random-teacher']
budget = ['net0-short', 'net0-long', 'net6-long', 'net0-float32', 'net6-float32']
controls = [
    *('random-teacher-normalised', 'shuffled-normalised', 'blurry-teacher-normalised'),
    *('shuffled', 'shuffled-star', 'shuffled-started', 'blurry-teacher'),
]
students = ['student-started', 'student-started-star', 'net0-wide-started']
remedies = [
    *('normalised', 'prior-norm', 'started-norm', 'started-norm-star', 'scratch-norm-star'),
    *('started-normalised', 'started-both', 'net6-weight0.01'),
]
others = [
    *[f'{entry["name"]}-normalised' for entry in table4],
    *[entry['name'] for entry in choices],
    *('segmap', *[entry['name'] for entry in table4]),
]
seeds = [0, 1, 2]
order = [
    dict(variants=main, seeds=seeds),
    dict(variants=[*budget, *controls, *students, *remedies], seeds=seeds),
    dict(variants=others, seeds=seeds),
]
