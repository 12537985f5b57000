# What guided recipes share: the paper's teacher, the prior, how it is embedded and distilled.
_base_ = './teachers/tresnet_l.py'

guided = dict(
    type='mmspd.SemanticGuided',
    prior=dict(type='mmspd.SPL'),
    embedding=dict(type='mmspd.SPE'),
)
prior_loss = dict(type='mmspd.PriorDistillationLoss', loss_weight=0.1)
