# Fig. 7: features of a segmentation network as the prior.
_base_ = ['../unet_sp_gopro.py', '../../_base_/teachers/espnetv2.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(teacher=dict(_delete_=True, **_base_.espnetv2_features))
