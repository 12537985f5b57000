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
    scale=2,
    **{key: _base_.teacher[key] for key in ('backbone', 'weights', 'mean', 'std')},
)


# normalize=True normalizes the prior before the restorer uses it: every pixel, over the channels
def from_weights(student):
    return {extractor: student, 'model.generator.prior.normalize': True}


pretrained_prior = {**from_weights(imagenet), **no_teacher}


def plain(name, about, options=None, **keys):
    return dict(name=name, about=about, base='unet.py', options=options, **keys)


def with_prior(name, about, options=None, **keys):
    return dict(name=name, about=about, base='unet_sp.py', options=options, **keys)


def pretrained(name, about, student=imagenet, options=None, **keys):
    options = {**from_weights(student), **no_teacher, **(options or {})}
    return with_prior(name, about, options, **keys)


def widened(name, about, options=None, **keys):
    cost = dict(to='pretrained', key='model.generator.base')
    return plain(name, about, options, match_macs=cost, **keys)


def rate(lr):
    return {'optim_wrapper.optimizer.lr': lr}


variants = [
    plain('plain', 'plain UNet'),
    widened('widened', 'widened UNet'),
    with_prior('distilled', 'distilled prior'),
    pretrained('pretrained', 'pretrained prior, no teacher'),
    pretrained(
        'pretrained_native',
        'pretrained prior, F_S gets the image without enlargement',
        dict(imagenet, scale=1),
    ),
    # does the gain last?
    *[
        variant(f'{name}_{times}x', f'{about}, {times} times the steps', length=times)
        for times in (2, 4)
        for variant, name, about in (
            (widened, 'widened', 'widened UNet'),
            (pretrained, 'pretrained', 'pretrained prior'),
        )
    ],
    *[
        variant(f'{name}_lr{lr}', f'{about}, learning rate {lr}', options=rate(float(lr)))
        for lr in ('3e-4', '3e-3')
        for variant, name, about in (
            (widened, 'widened', 'widened UNet'),
            (pretrained, 'pretrained', 'pretrained prior'),
        )
    ],
    # where does the gain come from?
    pretrained(
        'random', 'pretrained prior, but F_S from random weights', dict(imagenet, weights='random')
    ),
    pretrained(
        'permuted',
        'pretrained prior, but the weights permuted within each convolution',
        dict(imagenet, type='mmspd.ControlExtractor', permute=True),
    ),
    pretrained('frozen', 'pretrained prior, F_S frozen', dict(imagenet, frozen=True)),
    pretrained(
        'first_stages',
        'pretrained prior, but only the first stages (to stride 4) pretrained',
        dict(
            imagenet,
            type='mmspd.ControlExtractor',
            keep=('conv_stem', 'bn1', 'blocks.0', 'blocks.1'),
        ),
    ),
    plain(
        'encoder',
        'UNet whose encoder is the pretrained network, no CLC, MLA and SAT',
        {
            'model.generator': dict(
                _delete_=True,
                type='mmspd.EncoderUNet',
                base=16,
                **{key: imagenet[key] for key in ('backbone', 'weights', 'mean', 'std', 'scale')},
            )
        },
        match_macs=dict(to='pretrained', key='model.generator.base'),
    ),
    pretrained('added', 'pretrained prior, added instead of CLC, MLA and SAT', options=added),
]

main = ['plain', 'widened', 'distilled', 'pretrained']
origin = ['encoder', 'random', 'permuted', 'frozen']
parts = ['added', 'first_stages']
twice = ['widened_2x', 'pretrained_2x']
four_times = ['widened_4x', 'pretrained_4x']
rates = [f'{name}_lr{lr}' for lr in ('3e-4', '3e-3') for name in ('widened', 'pretrained')]
seeds = [0, 1, 2]
order = [
    dict(variants=main, seeds=seeds),
    dict(variants=twice, seeds=seeds),
    dict(variants=origin, seeds=seeds),
    dict(variants=['pretrained_native'], seeds=seeds),
    dict(variants=rates, seeds=seeds[:1]),
    dict(variants=four_times, seeds=seeds),
    dict(variants=parts, seeds=seeds),
]


def gains(over, *names):
    return [(name, over) for name in names]


title = 'Main study: trajectory blur'
primary = 'kodak24'  # val was used for choosing, and the other test sets have fewer photos
front = ['kodak24', 'reds', 'levin09', 'gopro', 'gopro4']
tables = [
    dict(
        title='Main comparison',
        gains=gains('widened', 'plain', 'distilled', 'pretrained', 'pretrained_native'),
    ),
    dict(
        title='Does the gain last?',
        shares=True,
        gains=[
            ('pretrained', 'widened'),
            *[(f'pretrained_{times}x', f'widened_{times}x') for times in (2, 4)],
        ],
    ),
    dict(title='Longer training alone', gains=gains('widened', 'widened_2x', 'widened_4x')),
    dict(
        title='Learning rates',
        gains=[
            *[(f'pretrained_lr{lr}', f'widened_lr{lr}') for lr in ('3e-4', '3e-3')],
            *[
                (f'{name}_lr{lr}', name)
                for lr in ('3e-4', '3e-3')
                for name in ('widened', 'pretrained')
            ],
        ],
    ),
    dict(
        title='Where does the gain come from?',
        shares=True,
        gains=gains('widened', 'pretrained', *origin, *parts),
    ),
]
