# PSS-NSC with the recipe of its published training graph: that of SRN, but 8000 epochs.
# The published training continued another one, whose length is not known.
_base_ = './srn_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(generator=dict(_delete_=True, type='mmspd.PSSNSC', gray_training=True))
train_cfg = dict(max_epochs=8000)
