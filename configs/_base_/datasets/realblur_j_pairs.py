# RealBlur-J as it is unpacked: its list files and the folder they name, all in <REALBLUR_ROOT>.
# Replaces the data set of gopro.py, whose splits and pipelines stay.
_base_ = '../protocols/realblur_aligned.py'

realblur_j = dict(
    type='mmspd.RealBlurDataset', data_root='{{$REALBLUR_ROOT:data/RealBlur}}', subset='J'
)
