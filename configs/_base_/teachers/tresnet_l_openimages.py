# The teacher of the paper: TResNet-L trained on OpenImages. Download
# Open_ImagesV6_TRresNet_L_448.pth from ASL's repository and convert it:
#   python tools/model_converters/asl_tresnet2timm.py IN checkpoints/tresnet_l_openimages.pth
# If the converted file is elsewhere, set MMSPD_TEACHER to it. The image is enlarged by 2 before the
# teacher, as in the paper's reference [34], so the levels have the strides 2, 4 and 8 of the prior.
_base_ = './tresnet_l.py'

teacher = dict(weights='{{$MMSPD_TEACHER:checkpoints/tresnet_l_openimages.pth}}', scale=2)
