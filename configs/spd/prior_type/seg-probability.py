# Fig. 7: the prior is the class probabilities of a segmentation map.
_base_ = './seg-onehot.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(generator=dict(prior=dict(form='probability')), teacher=dict(form='probability'))
