# Any pairs of folders, with everything else as in gopro.py.
_base_ = ['./gopro.py', './own_pairs.py']

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        **_base_.own_pairs_train,
        pipeline=_base_.train_dataloader.dataset.pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        **_base_.own_pairs_test,
        pipeline=_base_.val_dataloader.dataset.pipeline,
    ),
)
test_dataloader = val_dataloader
