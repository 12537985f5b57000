# The study of MIMO-UNet: a prior from the start of training, and a prior that is added to a trained
# network, at equal cost. The study uses the data of the main study. To run it:
#   python projects/prior_study/run.py projects/prior_study/configs/restorers.py --jobs 2
_base_ = './main.py'

epochs = 6


def plain(name, about, **keys):
    return dict(name=name, about=about, base='mimounet.py', **keys)


def widened(name, about, **keys):
    cost = dict(to='mimounet_pretrained', key='model.generator.base')
    return plain(name, about, match_macs=cost, **keys)


def with_prior(name, about, options=None, **keys):
    return dict(name=name, about=about, base='mimounet_sp.py', options=options, **keys)


variants = [
    plain('mimounet', 'plain MIMO-UNet'),
    widened('mimounet_widened', 'widened MIMO-UNet'),
    with_prior('mimounet_distilled', 'distilled prior'),
    with_prior('mimounet_pretrained', 'pretrained prior, no teacher', _base_.pretrained_prior),
    # fine-tuning: training continues; the priors are added to the trained plain network
    plain('continued', 'plain MIMO-UNet, continued', start_from='mimounet'),
    widened(
        'continued_widened',
        'widened MIMO-UNet, continued',
        start_from='mimounet_widened',
    ),
    with_prior(
        'added_distilled',
        'distilled prior added to the trained plain network',
        start_from='mimounet',
    ),
    with_prior(
        'added_pretrained',
        'pretrained prior added to the trained plain network',
        _base_.pretrained_prior,
        start_from='mimounet',
    ),
]
main = ['mimounet', 'mimounet_widened', 'mimounet_distilled', 'mimounet_pretrained']
tuned = ['continued', 'continued_widened', 'added_distilled', 'added_pretrained']
order = [
    dict(variants=main, seeds=_base_.seeds),
    dict(variants=tuned, seeds=_base_.seeds),
]

front = []
title = 'MIMO-UNet'
tables = [
    dict(
        title='A prior from the start',
        gains=[(name, 'mimounet_widened') for name in main if name != 'mimounet_widened'],
    ),
    dict(
        title='A prior that is added to a trained network',
        gains=[(name, 'continued_widened') for name in tuned if name != 'continued_widened'],
    ),
]
