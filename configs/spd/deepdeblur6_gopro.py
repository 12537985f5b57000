# The paper's DeepDeblur of 6 residual blocks per scale.
_base_ = './deepdeblur_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(generator=dict(num_res=6))
