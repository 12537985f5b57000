# Your own pairs of folders. Everything else is as in gopro.py.
_base_ = ['./gopro.py', './own_pairs.py']

train_dataloader = dict(dataset=_base_.own_pairs)
val_dataloader = dict(dataset=_base_.own_pairs)
test_dataloader = val_dataloader
