# Table 3, the last step of MPRNet: the baseline with SAM and CSFF.
# This is the complete MPRNet, ../mprnet_gopro.py. To show a result of that recipe in this row, test
# its checkpoint with this config.
_base_ = '../mprnet_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'
