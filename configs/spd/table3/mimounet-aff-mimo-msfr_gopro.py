# Table 3, step 4 of MIMO-UNet: AFF, multiple inputs and outputs, MSFR (the frequency loss).
# This is the complete MIMO-UNet, ../mimounet_gopro.py. To show a result of that recipe in this row,
# test its checkpoint with this config.
_base_ = '../mimounet_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'
