# UNet with the prior as printed in the paper: raw features of TResNet-L (OpenImages weights).
# In unet_sp_gopro.py the features are normalized; docs/study.md compares both forms.
# The paper leaves choices open. This recipe makes these choices:
#   F_P       layer1 to layer3 of TResNet-L, RGB / 255, on the sharp crop enlarged twice (2/4/8)
#   F_S       a light residual encoder of width 48, trained by the teacher and by the restoration
#             losses
#   Eq. 2, 4  mean squared error over all elements, summed over average pools by 1, 2 and 4 and
#             averaged over the levels; a 1x1 convolution per level to the teacher's channels
#   Eq. 3     CLC on the two finer levels of the raw m, f_pri^3 = m^3; m of the deeper level goes
#             through a 1x1 convolution and bilinear enlargement; no activation
#   Eq. 5     MLA on all three levels, resized bilinearly and concatenated; 3x3 convolution, no
#             activation
#   Eq. 6     SAT: two 3x3 convolutions each for mu - 1 and sigma, at the prior's resolution, then
#             enlarged bilinearly; the last convolutions start at zero
#   Eq. 8     L1 is the mean over pixels and channels; VGG_{3,3} is conv3_3 of VGG-19 before its
#             ReLU, compared by mean squared error
#   training  weight decay 1e-4; crops, flips and transpositions; blur, not blur_gamma
_base_ = [
    './unet_gopro.py',
    '../_base_/semantic_prior.py',
    '../_base_/teachers/tresnet_l_openimages.py',
]

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    generator=dict(_delete_=True, restorer=_base_.model.generator, **_base_.guided),
    teacher=_base_.teacher,
    prior_loss=dict(_base_.prior_loss, normalize=False),
)
