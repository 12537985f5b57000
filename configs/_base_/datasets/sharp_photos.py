# Sharp photos, blurred differently in every epoch. Everything else is as in gopro.py.
_base_ = ['./gopro.py', './own_photos.py']

train_dataloader = dict(dataset=_base_.own_photos_train)
val_dataloader = dict(sampler=dict(seed=0), dataset=_base_.own_photos_test)
test_dataloader = val_dataloader
