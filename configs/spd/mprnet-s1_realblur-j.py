_base_ = ['./mprnet-s1_gopro.py', '../_base_/datasets/realblur_j_pairs.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        **_base_.realblur_j_train,
        pipeline=_base_.train_dataloader.dataset.pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        **_base_.realblur_j_test,
        pipeline=_base_.val_dataloader.dataset.pipeline,
    ),
)
test_dataloader = val_dataloader
