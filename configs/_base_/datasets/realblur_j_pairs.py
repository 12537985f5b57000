# RealBlur-J as it is unpacked: its list files and the folder they name, all in <REALBLUR_ROOT>.
_base_ = '../protocols/realblur_aligned.py'

realblur_j_train = dict(
    type='mmspd.RealBlurDataset',
    data_root='{{$REALBLUR_ROOT:data/RealBlur}}',
    packed='{{$MMSPD_PACKED:raw}}',
    subset='J',
    split='train',
)
realblur_j_test = dict(
    type='mmspd.RealBlurDataset',
    data_root='{{$REALBLUR_ROOT:data/RealBlur}}',
    packed='{{$MMSPD_PACKED:raw}}',
    subset='J',
    split='test',
    test_mode=True,
)
