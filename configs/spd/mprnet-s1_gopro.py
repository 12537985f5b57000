# The paper's simple MPRNet: its first stage alone. It works on patches, as the official code does;
# generator.split_patches=False lets it see the whole image.
_base_ = './mprnet_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(generator=dict(num_stages=1))
