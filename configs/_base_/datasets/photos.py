# Blurry photos without sharp images, at any depth below <PHOTOS_ROOT>. For testing only:
#   PHOTOS_ROOT=my_photos python tools/test.py CONFIG CHECKPOINT --test-on photos --out restored
_base_ = '../protocols/no_reference.py'

test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='mmspd.SeededSampler', shuffle=False),
    dataset=dict(
        type='mmspd.PhotoFolderDataset',
        data_root='{{$PHOTOS_ROOT:data/photos}}',
        pipeline=[
            dict(type='mmspd.LoadPhoto'),
            dict(type='mmagic.PackInputs', meta_keys=['key']),
        ],
    ),
)

protocol = 'no-reference'
test_evaluator = dict(type='mmengine.Evaluator', metrics=_base_.no_reference_metrics)
