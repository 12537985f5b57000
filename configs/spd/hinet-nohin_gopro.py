# HINet without half instance normalization, the baseline of HINet in the paper's Table 3.
# Its counterpart with HIN is hinet_gopro.py, which is 0.42 dB better in Table 3. Compare only the
# difference: the values in the table, 30.98 and 31.40 dB, do not fit this recipe, with which the
# authors of HINet report 32.71 dB.
_base_ = './hinet_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(generator=dict(hin_position=None))
