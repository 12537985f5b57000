"""The fit and the effect of a prior, compared with an independent computation in NumPy."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from prior_study.prior import effect_of_prior, fit_of_prior

from mmspd.datasets import PairedFolderDataset
from mmspd.errors import UserError
from mmspd.registry import DATASETS, build_model
from mmspd.visualization import view_prior

pytestmark = pytest.mark.slow

TEACHER = """
model['teacher'] = dict(
    type='mmspd.FeatureTeacher', channels=(8, 16, 32), weights={weights!r}, scale=2,
    backbone=dict(type='mmpretrain.ResNet', depth=18, stem_channels=4, base_channels=8,
                  out_indices=(0, 1, 2)))
model['prior_loss'] = dict(type='mmspd.PriorDistillationLoss', normalize={normalize})
"""


def explained(target, prediction):
    """Return 1 - unexplained variance / variance over all pixels."""
    error = ((prediction - target) ** 2).sum()
    return 1 - error / ((target - target.mean(0)) ** 2).sum()


def config_with(write_config, weights, normalize=False):
    text = TEACHER.format(weights=str(weights), normalize=normalize)
    config = Config.fromfile(write_config(text, base='guided'))
    config.test_dataloader.batch_size = 2
    init_default_scope('mmagic')
    return config


@DATASETS.register_module()
class GradedPairs(PairedFolderDataset):
    """Pairs with mild blur in the first pair and severe blur in the others."""

    def get_data_info(self, idx):
        return dict(super().get_data_info(idx), severity='severe' if idx else 'mild')


@pytest.mark.parametrize('normalize', [False, True])
def test_the_fit_is_the_explained_share_of_the_variance(write_config, tmp_path, normalize):
    config = config_with(write_config, 'random', normalize)
    torch.manual_seed(0)
    model = build_model(config.model).eval()
    for norm in model.prior_loss.norms or ():
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    teacher = model._teacher.get(torch.device('cpu'))
    torch.save(teacher.backbone.state_dict(), tmp_path / 't.pth')
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'model.pth')
    config = config_with(write_config, tmp_path / 't.pth', normalize)
    dataset = dict(config.test_dataloader.dataset, type='mmspd.GradedPairs')
    dataset['pipeline'][-1].meta_keys = ['key', 'severity']
    fits = fit_of_prior(config, str(tmp_path / 'model.pth'), dataset)
    assert list(fits) == ['mild', 'severe', 'all']

    pairs = [features_by_hand(model, pair) for pair in DATASETS.build(dataset)]
    assert len(pairs) == 2
    for group, own in (('mild', pairs[:1]), ('severe', pairs[1:]), ('all', pairs)):
        for level in range(3):
            sharp, prior, blurry = (
                np.concatenate([pair[kind][level] for pair in own]) for kind in range(3)
            )
            fit = fits[group]
            assert fit.prior[level] == pytest.approx(explained(sharp, prior), rel=1e-4)
            assert fit.teacher[level] == pytest.approx(explained(sharp, blurry), rel=1e-4)


def features_by_hand(model, pair):
    """Return features (pixels, C) by level: teacher (sharp), prior, teacher (blurry)."""
    blurry, sharp = (
        img[None].float() / 255 for img in (pair['inputs'], pair['data_samples'].gt_img)
    )
    loss = model.prior_loss
    with torch.no_grad():
        predictions = []
        for level, own in enumerate(model.generator.prior(blurry)):
            head = loss.heads[level]
            own = torch.einsum('oi,nihw->nohw', head.weight[:, :, 0, 0], own)
            own = own + head.bias[:, None, None]
            if loss.norms is not None:
                norm = loss.norms[level]
                own = own * (norm.running_var + 1e-5).sqrt()[:, None, None]
                own = own + norm.running_mean[:, None, None]
            predictions.append(own)
        teacher = model._teacher.get(torch.device('cpu'))
        kinds = (teacher(sharp), predictions, teacher(blurry))
    return [[f.numpy()[0].reshape(f.shape[1], -1).T for f in levels] for levels in kinds]


def test_the_effect_is_the_mean_of_the_views_of_the_images(write_config, tmp_path):
    config = config_with(write_config, 'random')
    torch.manual_seed(0)
    model = build_model(config.model).eval()
    for weight in model.generator.embedding.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'model.pth')
    dataset = config.test_dataloader.dataset
    effect = effect_of_prior(config, str(tmp_path / 'model.pth'), dataset)
    views = [view_prior(model, pair['inputs'][None] / 255) for pair in DATASETS.build(dataset)]
    assert len(views) == 2
    for level in range(3):
        sizes = [view.levels[level].aggregated.std() for view in views]
        assert effect.aggregated[level] == pytest.approx(np.mean(sizes), rel=1e-4)
    assert list(effect.mu_change) == list(views[0].seams)
    for name, change in effect.mu_change.items():
        seams = [view.seams[name] for view in views]
        assert change == pytest.approx(np.mean([seam.mu_change for seam in seams]), rel=1e-4)
        spread = np.mean([seam.mu_spread for seam in seams])
        assert effect.mu_spread[name] == pytest.approx(spread, rel=1e-4)


def test_a_variant_without_a_saved_teacher_is_refused(write_config):
    config = config_with(write_config, 'random')
    with pytest.raises(UserError, match='net.pth has a teacher of random weights, so the fit'):
        fit_of_prior(config, 'net.pth', {})
    del config.model.teacher
    with pytest.raises(UserError, match='has no teacher'):
        fit_of_prior(config, 'net.pth', {})
