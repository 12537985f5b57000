"""The paper's form, Table 4 and Fig. 7: each config changes only the parts that its row names."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmspd.models import MLA, SAT, AddFusion, ConcatFusion
from mmspd.registry import build_model

CONFIGS = Path(__file__).resolve().parents[1] / 'configs' / 'spd'
ROWS = {
    # name: distilled (HCL), with CLC, with MLA, and the fusion of the prior
    'net0-star': (False, True, True, SAT),
    'net1': (True, False, False, AddFusion),
    'net2': (True, False, False, ConcatFusion),
    'net3': (True, False, False, SAT),
    'net4': (True, True, False, SAT),
    'net5': (True, False, True, SAT),
    'net6': (True, True, True, SAT),
}


def load(name):
    config = Config.fromfile(CONFIGS / f'{name}.py')
    init_default_scope(config.default_scope)
    return config


def recipe(config):
    """The parts of a config that all rows of an ablation must share."""
    own = ('model', 'work_dir', *('guided', 'teacher', 'prior_loss'))
    return {key: value for key, value in config.items() if key not in own}


@pytest.mark.parametrize('restorer', ['unet', 'mimounet'])
def test_the_papers_form_distills_raw_features_of_the_openimages_teacher(restorer):
    paper, ours = load(f'{restorer}_sp-paper_gopro'), load(f'{restorer}_sp_gopro')
    assert paper.model.pop('teacher') == {
        **ours.model.pop('teacher'),
        'weights': 'checkpoints/tresnet_l_openimages.pth',
        'scale': 2,
    }
    assert paper.model.prior_loss.pop('normalize') is False
    assert ours.model.prior_loss.pop('normalize') is True
    assert paper.model == ours.model
    assert recipe(paper) == recipe(ours)


@pytest.mark.parametrize('name', ROWS)
def test_rows_of_table_4(name):
    distilled, clc, mla, fusion = ROWS[name]
    config = load(f'ablation/{name}')
    model = build_model(config.model)
    assert (model.prior_loss is not None) == distilled
    assert (model.generator.prior.clc is not None) == clc
    aggregations = [m for m in model.generator.embedding.modules() if isinstance(m, MLA)]
    assert len(aggregations) == (3 if mla else 0)
    assert {type(m) for m in model.generator.embedding.fusions.values()} == {fusion}
    whole = load('unet_sp-paper_gopro')
    assert model.generator.prior.channels == (48, 48, 48)
    assert config.model.generator.restorer == whole.model.generator.restorer
    assert config.model.losses == whole.model.losses
    if distilled:
        assert config.model.teacher == whole.model.teacher
        assert config.model.prior_loss == whole.model.prior_loss
    assert recipe(config) == recipe(whole)


def test_net0_is_the_plain_unet():
    config, plain = load('ablation/net0'), load('unet_gopro')
    assert config.model == plain.model
    assert recipe(config) == recipe(plain)


@pytest.mark.parametrize(
    ('name', 'teacher', 'form'),
    [
        ('seg-onehot', 'mmspd.SegmapTeacher', 'onehot'),
        ('seg-probability', 'mmspd.SegmapTeacher', 'probability'),
        ('seg-feature', 'mmspd.FeatureTeacher', None),
        ('cls-feature', 'mmspd.FeatureTeacher', None),
    ],
)
def test_prior_types_of_fig_7(name, teacher, form):
    config, whole = load(f'prior_type/{name}'), load('unet_sp-paper_gopro')
    model = config.model
    assert model.teacher.type == teacher
    assert model.teacher.get('form') == form
    if form is not None:  # student and teacher use the same kind of map
        assert model.generator.detach_prior  # the paper's segmentation network is separate
        assert model.generator.prior.type == 'mmspd.SegmapSPL'
        assert model.generator.prior.form == form
        assert model.prior_loss.type == 'mmspd.SegmapDistillationLoss'
    else:
        assert model.generator == whole.model.generator
        assert model.prior_loss == whole.model.prior_loss
    assert ('ESPNetv2' in str(model.teacher)) == name.startswith('seg-')
    assert model.generator.embedding == whole.model.generator.embedding
    assert model.prior_loss.loss_weight == whole.model.prior_loss.loss_weight
    assert model.losses == whole.model.losses
    assert recipe(config) == recipe(whole)
