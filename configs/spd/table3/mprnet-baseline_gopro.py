# The baseline of MPRNet in the paper's Table 3: three stages without SAM and without CSFF.
# The paper quotes 29.86 dB for it, and 30.49 dB with SAM and CSFF. Only the difference of 0.63 dB
# is the target. The quoted numbers come from a shorter schedule: with its official recipe,
# mprnet_gopro.py, MPRNet reaches 32.66 dB. All steps here have the schedule of that recipe.
_base_ = '../mprnet_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(generator=dict(sam=False, csff=False))
