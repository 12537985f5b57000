# A recipe of GoPro on your own pairs, in PAIRS_ROOT; name another one for another restorer. Those
# that repeat their data set (NAFNet, Restormer) take it in dataset=dict(dataset=dict(...)), and
# their pipeline is at train_dataloader.dataset.dataset.pipeline.
_base_ = ['../spd/mimounet_sp_gopro.py', '../_base_/datasets/own_pairs.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

pipelines = [_base_[loader].dataset.pipeline for loader in ('train_dataloader', 'val_dataloader')]
train_dataloader = dict(
    dataset=dict(_delete_=True, pipeline=pipelines[0], **_base_.own_pairs_train)
)
val_dataloader = dict(dataset=dict(_delete_=True, pipeline=pipelines[1], **_base_.own_pairs_test))
test_dataloader = val_dataloader
