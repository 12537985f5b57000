# RealBlur-J as unpacked: <REALBLUR_ROOT> contains the list files and the listed folder.
# Merge realblur_j into the datasets of gopro.py, which define the splits and the pipelines.
_base_ = '../protocols/realblur_aligned.py'

realblur_j = dict(
    type='mmspd.RealBlurDataset', data_root='{{$REALBLUR_ROOT:data/RealBlur}}', subset='J'
)
