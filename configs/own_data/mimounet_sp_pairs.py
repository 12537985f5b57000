# A recipe of GoPro on your own pairs, in PAIRS_ROOT; name another one for another restorer. Those
# that repeat their data set (NAFNet, Restormer) take it in dataset=dict(dataset=_base_.own_pairs).
_base_ = ['../spd/mimounet_sp_gopro.py', '../_base_/datasets/own_pairs.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

train_dataloader = dict(dataset=_base_.own_pairs)
val_dataloader = dict(dataset=_base_.own_pairs)
test_dataloader = val_dataloader
