# Your own sharp photos in <SHARP_ROOT>/{train,test}, at any depth, blurred differently in every
# epoch. The values of severities are weights. To give a range in pixels instead, replace severities
# with, for example, extent=(8, 60). For the sharp frames of GOPRO_Large, set SHARP_ROOT to its
# folder and only_in='sharp'. The blur of the validation images never changes. Merge
# own_photos_train and own_photos_test into the datasets of gopro.py, which define the splits. To
# blur and flip the training images on the GPU, set
# train_dataloader.dataset.pipeline.1.on_device=True.
synthesize = dict(
    type='mmspd.SynthesizeBlur',
    severities=dict(mild=1, moderate=1, severe=2),
    moving_regions=1,
    noise=(0.0, 0.01),
    highlight_gain=(1.0, 4.0),
)
pack = dict(type='mmspd.PackInputs', meta_keys=['key', 'severity', 'blur_extent'])
sharp_photos = dict(type='mmspd.SharpFolderDataset', data_root='{{$SHARP_ROOT:data/sharp}}')
own_photos_train = dict(
    pipeline=[
        dict(type='mmspd.LoadImagePair'),
        dict(gt_patch_size=256, **synthesize),
        dict(type='mmspd.FlipAndTranspose'),
        pack,
    ],
    **sharp_photos,
)
own_photos_test = dict(
    pipeline=[dict(type='mmspd.LoadImagePair'), synthesize, pack], **sharp_photos
)
