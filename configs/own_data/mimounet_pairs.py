# Train the recipe of the first base on your own pairs: PAIRS_ROOT/{train,test}/{input,target}.
# For another restorer, copy this file and change the first base. NAFNet and Restormer wrap their
# dataset in RepeatDataset, so use dataset=dict(dataset=_base_.own_pairs) for training.
_base_ = ['../spd/mimounet_gopro.py', '../_base_/datasets/own_pairs.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

train_dataloader = dict(dataset=_base_.own_pairs)
val_dataloader = dict(dataset=_base_.own_pairs)
test_dataloader = val_dataloader
