# Any sharp photos in <SHARP_ROOT>/{train,test}, at any depth, with fresh blur in every epoch.
# Severities are weights; or extent=(8, 60), in pixels, in their place. For the sharp frames of
# GOPRO_Large set SHARP_ROOT to it and only_in='sharp'. Validation always gets the same blur.
# Replaces the data set of gopro.py, whose splits stay.
synthesize = dict(
    type='mmspd.SynthesizeBlur',
    severities=dict(mild=1, moderate=1, severe=2),
    moving_regions=1,
    noise=(0.0, 0.01),
    highlight_gain=(1.0, 4.0),
)
pack = dict(type='PackInputs', meta_keys=['key', 'severity', 'blur_extent'])
sharp_photos = dict(type='mmspd.SharpFolderDataset', data_root='{{$SHARP_ROOT:data/sharp}}')
own_photos_train = dict(
    pipeline=[
        dict(type='mmspd.LoadImagePair'),
        dict(gt_patch_size=256, **synthesize),
        # flips before the transposition: they work in place, which a transposed view forbids
        dict(type='Flip', keys=['img', 'gt'], flip_ratio=0.5, direction='horizontal'),
        dict(type='Flip', keys=['img', 'gt'], flip_ratio=0.5, direction='vertical'),
        dict(type='RandomTransposeHW', keys=['img', 'gt'], transpose_ratio=0.5),
        pack,
    ],
    **sharp_photos,
)
own_photos_test = dict(
    pipeline=[dict(type='mmspd.LoadImagePair'), synthesize, pack], **sharp_photos
)
