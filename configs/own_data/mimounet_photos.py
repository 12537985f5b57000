# Train the recipe of the first base on your own sharp photos: SHARP_ROOT/{train,test}. Every epoch
# blurs the photos differently. own_photos.py defines the crops and flips.
# For another restorer, copy this file and change the first base. NAFNet wraps its dataset in
# RepeatDataset, so use dataset=dict(dataset=_base_.own_photos_train) for training. Restormer is not
# supported, because its crop size grows but the synthesized crops have one size.
_base_ = ['../spd/mimounet_gopro.py', '../_base_/datasets/own_photos.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

train_dataloader = dict(dataset=_base_.own_photos_train)
val_dataloader = dict(sampler=dict(seed=0), dataset=_base_.own_photos_test)
test_dataloader = val_dataloader
