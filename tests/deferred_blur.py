"""Compare the blur of a device with the blur of the CPU, for tests of any device."""

import cv2
import numpy as np
import support
from skimage import data

from mmspd.datasets.blur.exposure import Box
from mmspd.datasets.blur.on_device import PlannedBlur
from mmspd.datasets.blur.synthesis import BlurSpec, plan_blur, synthesize_blur

WIDTH, HEIGHT = 180, 120
#: Largest and mean difference of values, 0..255. OpenCV 4 rounds positions to 1/32 pixel.
LARGEST, MEAN = (1, 2e-3) if int(cv2.__version__.split('.')[0]) > 4 else (16, 0.5)
#: Kinds of blurs: arguments of BlurSpec, and the crop.
BLURS = {
    'trajectory': (dict(), Box(60, 30, 124, 94)),
    'regions': (dict(severity='severe', moving_regions=3), Box(60, 30, 124, 94)),
    'highlights': (dict(highlight_gain=(5, 5), moving_regions=2), Box(0, 0, WIDTH, HEIGHT)),
    'corner': (dict(severity=(20, 40), moving_regions=1), Box(WIDTH - 64, 0, WIDTH, 48)),
    'beyond the photo': (dict(severity=(150, 200)), Box(0, 72, 64, HEIGHT)),
    'panning': (dict(kind='panning', severity=(2, 3), highlight_gain=(8, 8)), Box(0, 60, 64, 108)),
}

#: Text to append to the tiny config: blur on the device, in bfloat16, with accumulated gradients.
TRAINING = """
train_dataloader['dataset'].update(
    type='mmspd.SharpFolderDataset',
    only_in='target',
    pipeline=[
        dict(type='mmspd.LoadImagePair'),
        dict(type='mmspd.SynthesizeBlur', gt_patch_size=24, extent=(3, 9), on_device=True),
        dict(type='mmspd.FlipAndTranspose'),
        dict(type='mmspd.PackInputs', meta_keys=['key']),
    ],
)
train_dataloader.update(num_workers=1, collate_fn=dict(type='mmspd.stack_batch'))
optim_wrapper.update(type='mmspd.OptimWrapper', dtype='bfloat16', accumulative_counts=3)
default_hooks.update(prefetch=dict(type='mmspd.PrefetchHook'))
val_dataloader = val_evaluator = val_cfg = None
"""


def photo():
    """A real photo; the lower third is black and white, to see light that leaks into black."""
    small = cv2.resize(data.coffee(), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    small[80:] = np.random.default_rng(0).integers(0, 2, (40, WIDTH, 1)) * 255
    return small


def check_equal_blurs(kind, device, seeds):
    """Fail if a kind of blur differs between the CPU and the device by more than rounding."""
    arguments, box = BLURS[kind]
    spec, sharp = BlurSpec(noise=(0, 0), **arguments), photo()
    different = []
    for seed in seeds:
        expected, record = synthesize_blur(sharp, np.random.default_rng(seed), spec, box)
        plan = plan_blur(sharp, np.random.default_rng(seed), spec, box)
        assert plan.record == record
        planned = PlannedBlur.of(plan, sharp, seed=0).to(device)
        with support.no_waiting(device):
            blurry, target = planned.images()
        assert blurry.device.type == target.device.type == device.type
        np.testing.assert_array_equal(target.permute(1, 2, 0).cpu(), box.of(sharp))
        # as integers, because the difference of uint8 values wraps around
        different.append(np.abs(blurry.permute(1, 2, 0).cpu().numpy() - expected.astype(int)))
        assert np.abs(expected - box.of(sharp).astype(int)).mean() > 1, 'no blur to compare'
    assert np.max(different) <= LARGEST
    assert np.mean(different) < MEAN


def check_resumed_losses(make_runner, folder, device, deterministic=False):
    """Fail if the losses of a resumed training differ from those of the whole training."""

    def losses(work, **changes):
        randomness = dict(seed=0, deterministic=deterministic)
        runner = make_runner(TRAINING, work=work, randomness=randomness, **changes)
        runner.train()
        assert next(runner.model.parameters()).device.type == device.type
        return list(runner.message_hub.log_scalars['train/loss'].data[0])

    whole = losses('whole')
    assert len(set(whole)) == 6
    start = str(folder / 'whole' / 'epoch_1.pth')
    assert losses('resumed', resume=True, load_from=start) == whole
