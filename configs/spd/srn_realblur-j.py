# SRN (with the LSTM) on RealBlur-J, tested on aligned images, which are rounded to 8 bits.
_base_ = ['./srn_gopro.py', '../_base_/datasets/realblur_j_pairs.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

train_dataloader = dict(dataset=_base_.realblur_j)
val_dataloader = dict(dataset=_base_.realblur_j)
test_dataloader = val_dataloader

protocol = 'realblur-aligned'
test_evaluator = dict(metrics=_base_.realblur_aligned_metrics)
