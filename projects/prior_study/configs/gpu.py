# MIMO-UNets of half the recipes' width, for gpu.py, which trains them in turns on one GPU:
#   python projects/prior_study/gpu.py projects/prior_study/configs/gpu.py ...
# The variants are recipes, with a light teacher, new blur for each sample and a constant learning
# rate. gpu_base32.py has the full width.
_base_ = '../../../configs/_base_/teachers/efficientnet_lite0.py'

recipes = '../../../configs/spd'
width = 16
epochs = 1  # not used, because gpu.py trains for a given time

options = {
    'model.channels_last': True,
    # bfloat16 if the device has bfloat16 instructions
    'optim_wrapper': dict(dtype='auto', optimizer=dict(lr=5e-4)),
    'train_dataloader': dict(
        batch_size=32,
        drop_last=True,
        # gpu.py sets data_root. The extent is uniform from 3 to 25 pixels, and above 13 pixels in
        # 55 % of the samples.
        dataset=dict(
            _delete_=True,
            type='mmspd.SharpFolderDataset',
            data_root='data/photos',
            pipeline=[
                dict(type='mmspd.LoadImagePair'),
                dict(
                    type='mmspd.SynthesizeBlur', gt_patch_size=256, extent=(3, 25), on_device=True
                ),
                dict(type='mmspd.FlipAndTranspose'),
                dict(type='mmspd.PackInputs', meta_keys=['key']),
            ],
        ),
    ),
}

plain, guided = 'model.generator.base', 'model.generator.restorer.base'
variants = [
    dict(
        name='plain',
        about='MIMO-UNet',
        base=f'{recipes}/mimounet_gopro.py',
        options={plain: width},
    ),
    dict(
        name='widened',
        about='MIMO-UNet, widened to the cost of pretrained',
        base=f'{recipes}/mimounet_gopro.py',
        options={plain: width},
        match_macs=dict(to='pretrained', key=plain),
    ),
    dict(
        name='distilled',
        about='prior distilled from normalized features of EfficientNet-Lite0',
        base=f'{recipes}/mimounet_sp_gopro.py',
        options={
            guided: width,
            'model.teacher': dict(_delete_=True, **_base_.teacher),
            'model.prior_loss.normalize': True,
        },
    ),
    dict(
        name='pretrained',
        about='prior from EfficientNet-Lite0 with ImageNet weights, trained without a teacher',
        base=f'{recipes}/mimounet_sp-pretrained_gopro.py',
        options={
            guided: width,
            'model.generator.prior.normalize': True,
            'model.generator.prior.extractor': dict(scale=2, weights=_base_.teacher.weights),
        },
    ),
]
order = [dict(variants=[variant['name'] for variant in variants], seeds=[0])]
