# RealBlur-J with the pipelines of GoPro. Tests align the images, as in published results.
# Validation during training does not align the images, because the alignment is slow.
_base_ = ['./gopro.py', './realblur_j_pairs.py']

train_dataloader = dict(dataset=_base_.realblur_j)
val_dataloader = dict(dataset=_base_.realblur_j)
test_dataloader = val_dataloader

protocol = 'realblur-aligned'
test_evaluator = dict(metrics=_base_.realblur_aligned_metrics)
