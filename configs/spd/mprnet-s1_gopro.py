# The first stage of MPRNet, the paper's simple MPRNet.
# It works on patches like the official code. Set model.generator.split_patches=False to give it
# the whole image.
_base_ = './mprnet_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(generator=dict(num_stages=1))
