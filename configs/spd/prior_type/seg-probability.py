# Fig. 7: the probabilities of a segmentation map as the prior.
_base_ = './seg-onehot.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(generator=dict(prior=dict(form='probability')), teacher=dict(form='probability'))
