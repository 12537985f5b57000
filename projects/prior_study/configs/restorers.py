# Another restorer than the UNet, and one that is trained already, on the data of the main study:
#   python projects/prior_study/run.py projects/prior_study/configs/restorers.py --jobs 2
_base_ = './main.py'

epochs = 6
normalised, no_teacher, started = _base_.normalised, _base_.no_teacher, _base_.shown_in_its_scale
untaught = dict(generator=dict(prior=started), **no_teacher)

variants = [
    dict(name='mimounet', about='MIMO-UNet alone', base='mimounet.py'),
    dict(
        name='mimounet-wide',
        about='MIMO-UNet as costly as mimounet-sp',
        base='mimounet.py',
        match_macs=dict(to='mimounet-sp', key='model.generator.base'),
    ),
    dict(
        name='mimounet-star',
        about='prior branch, no distillation',
        base='mimounet_sp.py',
        options=dict(model=no_teacher),
    ),
    dict(name='mimounet-sp', about='CLC, MLA, SAT', base='mimounet_sp.py'),
    dict(
        name='mimounet-normalised',
        about="teacher's features normalised",
        base='mimounet_sp.py',
        options=normalised,
    ),
    dict(
        name='mimounet-started',
        about="F_S from the teacher's weights, prior normalised, no distillation",
        base='mimounet_sp.py',
        options=dict(model=untaught),
    ),
    # trained on from the weights of mimounet
    dict(name='tuned', about='as it is', base='mimounet.py', start_from='mimounet'),
    dict(
        name='tuned-star',
        about='with a prior branch, no distillation',
        base='mimounet_sp.py',
        start_from='mimounet',
        options=dict(model=no_teacher),
    ),
    dict(
        name='tuned-normalised',
        about="with a prior, teacher's features normalised",
        base='mimounet_sp.py',
        start_from='mimounet',
        options=normalised,
    ),
    dict(
        name='tuned-started',
        about="with F_S from the teacher's weights, prior normalised, no distillation",
        base='mimounet_sp.py',
        start_from='mimounet',
        options=dict(model=untaught),
    ),
]
main = [
    *('mimounet', 'mimounet-wide', 'mimounet-normalised', 'mimounet-started'),
    *('tuned', 'tuned-normalised', 'tuned-started'),
]
order = [
    dict(variants=main, seeds=_base_.seeds),
    dict(variants=['mimounet-star', 'mimounet-sp', 'tuned-star'], seeds=_base_.seeds),
]
