"""How much of the teacher a prior holds, against the same computed with numpy."""

import numpy as np
import pytest
import support
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmspd.errors import UserError
from mmspd.registry import DATASETS, build_model
from mmspd.study.prior_fit import fit_of_prior

TEACHER = """
model['teacher'] = dict(
    type='mmspd.FeatureTeacher', channels=(8, 16, 32), weights={weights!r}, scale=2,
    backbone=dict(type='mmpretrain.ResNet', depth=18, stem_channels=4, base_channels=8,
                  out_indices=(0, 1, 2)))
model['prior_loss'] = dict(type='mmspd.PriorDistillationLoss', normalise={normalise})
"""


def explained(wanted, found):
    """1 - unexplained variance / variance, from all pixels at once."""
    error = ((found - wanted) ** 2).sum()
    return 1 - error / ((wanted - wanted.mean(0)) ** 2).sum()


def config_with(write_config, weights, normalise=False):
    text = support.GUIDED + TEACHER.format(weights=str(weights), normalise=normalise)
    config = Config.fromfile(write_config(text))
    config.test_dataloader.batch_size = 2
    init_default_scope('mmagic')
    return config


@pytest.mark.parametrize('normalise', [False, True])
def test_the_fit_is_the_explained_share_of_the_variance(write_config, tmp_path, normalise):
    config = config_with(write_config, 'random', normalise)
    torch.manual_seed(0)
    model = build_model(config.model)
    teacher = model._teacher.get(torch.device('cpu'))
    torch.save(teacher.backbone.state_dict(), tmp_path / 't.pth')
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'model.pth')
    config = config_with(write_config, tmp_path / 't.pth', normalise)
    dataset = config.test_dataloader.dataset
    (group, fit), *others = fit_of_prior(config, str(tmp_path / 'model.pth'), dataset).items()
    assert (group, [name for name, _ in others]) == ('unknown', ['all'])
    assert others[0][1] == fit

    maps = {name: ([], [], []) for name in ('wanted', 'prior', 'seen')}
    model.eval()
    pairs = DATASETS.build(dataset)
    for index in range(len(pairs)):
        data = model.data_preprocessor(
            dict(inputs=[pairs[index]['inputs']], data_samples=[pairs[index]['data_samples']]), True
        )
        blurry, sharp = data['inputs'], data['data_samples'].gt_img
        with torch.no_grad():
            prior = model.prior_loss.project(model.generator.prior(blurry))
            found = dict(wanted=model.teach(sharp), prior=prior, seen=model.teach(blurry))
        for name, levels in found.items():
            for level, feature in enumerate(levels):
                maps[name][level].append(feature.numpy()[0].reshape(feature.shape[1], -1).T)
    for level in range(3):
        wanted, prior, seen = (np.concatenate(maps[name][level]) for name in maps)
        assert fit.prior[level] == pytest.approx(explained(wanted, prior), rel=1e-4)
        assert fit.teacher[level] == pytest.approx(explained(wanted, seen), rel=1e-4)


def test_a_variant_without_a_teacher_that_is_kept_is_refused(write_config):
    config = config_with(write_config, 'random')
    with pytest.raises(UserError, match='net.pth: there is a teacher of random weights to compare'):
        fit_of_prior(config, 'net.pth', {})
    del config.model.teacher
    with pytest.raises(UserError, match='there is no teacher'):
        fit_of_prior(config, 'net.pth', {})
