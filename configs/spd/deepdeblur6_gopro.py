# DeepDeblur with 6 residual blocks per scale, as in the paper.
_base_ = './deepdeblur_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(generator=dict(num_res=6))
