from pathlib import Path

import cv2
import pytest
import support
import torch
from mmengine.hooks import Hook

from mmspd.errors import UserError
from mmspd.visualization import PriorViewHook, prior_view_hook, view_prior

HOOK = "default_hooks['prior_view'] = dict(type='mmspd.PriorViewHook')\n"


class Spy(Hook):
    """Keeps the restored images of the validation and the views of the hook."""

    priority = 'LOWEST'

    def __init__(self, monkeypatch):
        self.restored, self.views = [], []

        def keep_view(*arguments):
            self.views.append(view_prior(*arguments))
            return self.views[-1]

        monkeypatch.setattr(prior_view_hook, 'view_prior', keep_view)

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        image = outputs[0].output.pred_img.flip(0).clamp(0, 255).round().permute(1, 2, 0)
        self.restored.append(image.numpy())


def pictures_of(runner):
    return sorted(path.name for path in Path(runner.work_dir).rglob('vis_image/*.png'))


@pytest.mark.slow
@pytest.mark.parametrize('ema', ['', support.EMA])
def test_pictures_show_the_validated_weights(make_runner, ema, monkeypatch):
    runner = make_runner(ema + HOOK, base='distilled', **{'train_cfg.max_epochs': 1})
    spy = Spy(monkeypatch)
    runner.register_hook(spy)
    runner.train()
    assert pictures_of(runner) == ['prior_0_1.png', 'prior_1_1.png']
    assert len(spy.views) == len(spy.restored) == 2
    for view, restored in zip(spy.views, spy.restored):
        assert abs(view.restored - restored).max() <= 1
        assert view.levels[0].similarity is not None
        assert view.psnr()[0] > 15  # blurry and sharp are one pair
    picture = next(Path(runner.work_dir).rglob('prior_0_1.png'))
    assert min(cv2.imread(str(picture)).shape[:2]) > 900


@pytest.mark.slow
def test_the_interval_and_the_number_of_images(make_runner):
    changes = {'default_hooks.prior_view.interval': 2, 'default_hooks.prior_view.num_images': 1}
    runner = make_runner(HOOK, base='guided', **changes)
    before = {name: value.clone() for name, value in runner.model.state_dict().items()}
    runner.train()
    assert pictures_of(runner) == ['prior_0_2.png']
    assert runner.model.state_dict().keys() == before.keys()


@torch.no_grad()
def test_images_without_sharp_ones(make_runner):
    runner, hook = make_runner(base='guided'), PriorViewHook()
    outputs = runner.model.eval().val_step(next(iter(runner.val_dataloader)))
    del outputs[0].gt_img
    hook.before_val_epoch(runner)
    hook.after_val_iter(runner, 0, outputs=outputs)
    ((key, view),) = hook._views
    assert (key, view.sharp) == ('00', None)


@pytest.mark.parametrize('name', ['interval', 'num_images'])
def test_arguments(name):
    with pytest.raises(UserError, match=f'prior_view.{name} is 0; set it to 1 or more'):
        PriorViewHook(**{name: 0})
