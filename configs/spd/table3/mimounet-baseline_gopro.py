# The baseline of MIMO-UNet in the paper's Table 3: one input, one output, plain skips, only L1.
# The paper quotes 31.16 dB for it, and 31.73 dB for the complete MIMO-UNet. Only the difference of
# 0.57 dB is the target, because the authors may have trained their baseline with a shorter
# schedule. The steps from the baseline to MIMO-UNet all have the schedule of mimounet_gopro.py:
# mimounet-baseline, mimounet-aff, mimounet-aff-mi, mimounet-aff-mimo, mimounet-aff-mimo-msfr.
_base_ = '../mimounet_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    generator=dict(multi_input=False, aff=False, multi_output=False),
    losses=dict(_delete_=True, loss_pix=dict(type='mmagic.L1Loss')),
)
