# DeblurGAN-v2 (Inception) with two discriminators and the relativistic loss of its paper.
# The data, augmentations and schedule are those of deblurganv2-nogan_gopro.py, and so are the
# differences from the official ones. The weight 0.001 is the official code's; the paper has 0.01.
_base_ = './deblurganv2-nogan_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    type='mmspd.AdversarialDeblurrer',
    discriminators=dict(
        patch=dict(type='mmspd.PatchDiscriminator', num_layers=3),
        full=dict(type='mmspd.PatchDiscriminator', num_layers=5),
    ),
    adversarial_loss=dict(type='mmspd.RelativisticLoss', pool_size=50),
    adversarial_weight=0.001,
)
optim_wrapper = dict(constructor='mmspd.AdversarialConstructor')
