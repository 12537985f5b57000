_base_ = ['./mprnet-s1_gopro.py', '../_base_/datasets/realblur_j_pairs.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

pipelines = [_base_[loader].dataset.pipeline for loader in ('train_dataloader', 'val_dataloader')]
train_dataloader = dict(
    dataset=dict(_delete_=True, pipeline=pipelines[0], **_base_.realblur_j_train)
)
val_dataloader = dict(dataset=dict(_delete_=True, pipeline=pipelines[1], **_base_.realblur_j_test))
test_dataloader = val_dataloader

protocol = 'realblur-aligned'
test_evaluator = dict(metrics=_base_.realblur_aligned_metrics)
