# The paper's teacher: TResNet-L of OpenImages. ASL publishes it as
# Open_ImagesV6_TRresNet_L_448.pth, which is converted by
#   python tools/model_converters/asl_tresnet2timm.py IN checkpoints/tresnet_l_openimages.pth
# MMSPD_TEACHER names the converted file if it is elsewhere.
_base_ = './tresnet_l.py'

teacher = dict(weights='{{$MMSPD_TEACHER:checkpoints/tresnet_l_openimages.pth}}')
