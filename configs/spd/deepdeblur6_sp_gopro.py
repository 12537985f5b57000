# DeepDeblur with 6 residual blocks per scale and the distilled prior.
_base_ = './deepdeblur_sp_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(generator=dict(restorer=dict(num_res=6)))
