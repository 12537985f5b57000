# The gray variant of SRN, without the LSTM, with the official recipe of SRN.
_base_ = './srn_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(generator=dict(variant='gray'))
