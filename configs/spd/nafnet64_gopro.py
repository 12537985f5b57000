# NAFNet of width 64 with the authors' recipe: 400k iterations of 8 GPUs x 8.
_base_ = './nafnet_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(generator=dict(mid_channels=64))

train_dataloader = dict(batch_size=8)
train_cfg = dict(max_epochs=1521)
auto_scale_lr = dict(base_batch_size=64)
