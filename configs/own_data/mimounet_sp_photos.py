# A recipe of GoPro on your own sharp photos, in SHARP_ROOT, which are blurred anew in every epoch;
# name another recipe for another restorer. Crops and flips are those of own_photos.py. NAFNet
# repeats its data set and takes it in dataset=dict(dataset=...); Restormer's growing crops do
# not go with blur that is made for one size.
_base_ = ['../spd/mimounet_sp_gopro.py', '../_base_/datasets/own_photos.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

train_dataloader = dict(dataset=_base_.own_photos_train)
val_dataloader = dict(sampler=dict(seed=0), dataset=_base_.own_photos_test)
test_dataloader = val_dataloader
