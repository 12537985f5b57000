# Another restorer than the UNet, and one that is trained already, on the data of the main study:
#   python projects/prior_study/run.py projects/prior_study/configs/restorers.py --jobs 2
_base_ = './main.py'

epochs = 6
started = {**_base_.started_norm, **_base_.no_teacher}


def plain(name, about, **keys):
    return dict(name=name, about=about, base='mimounet.py', **keys)


def with_prior(name, about, options=None, **keys):
    return dict(name=name, about=about, base='mimounet_sp.py', options=options, **keys)


variants = [
    plain('mimounet', 'MIMO-UNet alone'),
    plain(
        'mimounet-wide',
        'MIMO-UNet as costly as mimounet-sp',
        match_macs=dict(to='mimounet-sp', key='model.generator.base'),
    ),
    with_prior('mimounet-sp', 'CLC, MLA, SAT'),
    with_prior('mimounet-normalised', "teacher's features normalised", _base_.normalize),
    with_prior(
        'mimounet-started',
        "F_S from the teacher's weights, prior normalised, no distillation",
        started,
    ),
    # trained on from the weights of mimounet
    plain('tuned', 'as it is', start_from='mimounet'),
    with_prior(
        'tuned-normalised',
        "with a prior, teacher's features normalised",
        _base_.normalize,
        start_from='mimounet',
    ),
    with_prior(
        'tuned-started',
        "with F_S from the teacher's weights, prior normalised, no distillation",
        started,
        start_from='mimounet',
    ),
]
main = [
    *('mimounet', 'mimounet-wide', 'mimounet-normalised', 'mimounet-started'),
    *('tuned', 'tuned-normalised', 'tuned-started'),
]
order = [
    dict(variants=main, seeds=_base_.seeds),
    dict(variants=['mimounet-sp'], seeds=_base_.seeds),
]
