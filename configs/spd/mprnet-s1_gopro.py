# The first stage of MPRNet, the paper's simple MPRNet.
# The network works on patches, as in the official code. To process the whole image at once, set
# model.generator.split_patches=False.
_base_ = './mprnet_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(generator=dict(num_stages=1))
