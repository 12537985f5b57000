# The study of MIMO-UNet: a prior from the start of training, and a prior that is added to a trained
# network. The study uses the data of the main study. To run it:
#   python projects/prior_study/run.py projects/prior_study/configs/restorers.py --jobs 2
_base_ = './main.py'

epochs = 6
started = {**_base_.started_norm, **_base_.no_teacher}


def plain(name, about, **keys):
    return dict(name=name, about=about, base='mimounet.py', **keys)


def with_prior(name, about, options=None, **keys):
    return dict(name=name, about=about, base='mimounet_sp.py', options=options, **keys)


variants = [
    plain('mimounet', 'MIMO-UNet without a prior'),
    plain(
        'mimounet-wide',
        'MIMO-UNet, widened to the cost of MIMO-UNet with a prior',
        match_macs=dict(to='mimounet-sp', key='model.generator.base'),
    ),
    with_prior('mimounet-sp', 'prior distilled from raw features (CLC, MLA, SAT)'),
    with_prior(
        'mimounet-normalised',
        'prior distilled from normalized features (CLC, MLA, SAT)',
        _base_.normalize,
    ),
    with_prior(
        'mimounet-started',
        "F_S starts with the teacher's weights, prior normalized, no teacher",
        started,
    ),
    # these variants start from the trained weights of mimounet
    plain('tuned', 'training of mimounet continued, without a prior', start_from='mimounet'),
    with_prior(
        'tuned-normalised',
        'training of mimounet continued, prior of mimounet-normalised',
        _base_.normalize,
        start_from='mimounet',
    ),
    with_prior(
        'tuned-started',
        'training of mimounet continued, prior of mimounet-started',
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
