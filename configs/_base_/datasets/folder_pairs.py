# Any pairs of folders: <PAIRS_ROOT>/{train,test}/{input,target}, matched by name, any depth.
# Other names: set blur_dir and sharp_dir, relative to the root. Everything else is gopro.py's.

_base_ = './gopro.py'

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmspd.PairedFolderDataset',
        data_root='{{$PAIRS_ROOT:data/pairs}}',
        packed='{{$MMSPD_PACKED:raw}}',
        blur_dir='train/input',
        sharp_dir='train/target',
        pipeline=_base_.train_dataloader.dataset.pipeline,
    ),
)

val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmspd.PairedFolderDataset',
        data_root='{{$PAIRS_ROOT:data/pairs}}',
        packed='{{$MMSPD_PACKED:raw}}',
        blur_dir='test/input',
        sharp_dir='test/target',
        test_mode=True,
        pipeline=_base_.val_dataloader.dataset.pipeline,
    ),
)
test_dataloader = val_dataloader
