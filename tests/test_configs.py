"""Every shipped config: its settings, that it builds, and that it trains, validates and tests."""

import functools
import gc
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest
import support
import torch
import yaml
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from restorer_contract import make_small, shrink_teacher
from training_step import randomize_weights

from mmspd.apis.complexity import Cost, cost_of
from mmspd.errors import UserError
from mmspd.models.guided import as_list
from mmspd.models.teachers.feature_teacher import FeatureTeacher
from mmspd.registry import build_model

REPOSITORY = Path(__file__).resolve().parents[1]
RECIPES = REPOSITORY / 'configs' / 'spd'
CONFIGS = [
    path
    for folder in ('spd', 'own_data')
    for path in sorted((REPOSITORY / 'configs' / folder).rglob('*.py'))
]
NAMES = [config.stem for config in CONFIGS]

#: All configs; all but one are slow tests.
EACH_CONFIG = [
    pytest.param(path, id=path.stem, marks=[pytest.mark.slow] * (path.stem != 'mimounet_sp_gopro'))
    for path in CONFIGS
]
#: Configs that equal another config once their networks are small, except for the prior.
TWINS = (
    *('nafnet64_gopro', 'mimounet-aff-mimo-msfr_gopro', 'mprnet-sam-csff_gopro'),
    *('deblurganv2-mobilenet_gopro', 'mimounet_pairs', 'mimounet_photos'),
)
TRAINED = [config for config in EACH_CONFIG if config.id not in TWINS]

PRETRAINED = '_sp-pretrained_'  # F_S starts from the weights of another task, without a teacher
GUIDED = re.compile(r'_sp(-[a-z]+)?_')  # as in unet_sp_gopro, unet_sp-paper_gopro
OWN = 'own'  # folder of the user's own pairs
VAL_IMAGES = 12  # MMEngine's loops read the timer's statistics from the tenth image on


@pytest.fixture(scope='module')
def gopro(tmp_path_factory):
    """A small GOPRO_Large, which also holds the lists of RealBlur and a user's own pairs."""
    root = tmp_path_factory.mktemp('GOPRO_Large')
    rng = np.random.default_rng(0)
    for split, count in (('train', 4), ('test', VAL_IMAGES)):
        for number in range(count):
            sharp = cv2.resize(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8), (64, 48))
            pair = (cv2.blur(sharp, (5, 1)), sharp)
            for image, *kinds in zip(pair, ('blur', 'sharp'), ('input', 'target')):
                for folder in (
                    root / split / 'GOPR0001_11_00' / kinds[0],
                    root / OWN / split / kinds[1],
                ):
                    folder.mkdir(parents=True, exist_ok=True)
                    cv2.imwrite(str(folder / f'{number:06d}.png'), image)
        names = [f'{split}/GOPR0001_11_00/{{}}/{number:06d}.png' for number in range(count)]
        lines = [f'{name.format("sharp")} {name.format("blur")}' for name in names]
        (root / f'RealBlur_J_{split}_list.txt').write_text('\n'.join(lines))
    return root


def innermost(dataset):
    """The data set inside a repeating wrapper."""
    return innermost(dataset['dataset']) if 'dataset' in dataset else dataset


def promises_prior(path):
    """Whether the folder and the name of a config say that its restorer is guided."""
    if path.parent.name == 'ablation':
        return path.stem != 'net0'
    name = path.stem
    return path.parent.name == 'prior_type' or GUIDED.search(name) or name == 'quickstart'


@pytest.mark.parametrize('path', CONFIGS, ids=NAMES)
def test_settings_of_a_config(path):
    config = Config.fromfile(path)
    assert config.work_dir == f'./work_dirs/{path.stem}'
    assert config.default_scope == 'mmagic'
    assert config.custom_imports.imports == ['mmspd']
    for metric in config.val_evaluator.metrics:
        assert metric.type.startswith('mmspd.')  # MMagic has another PSNR
    assert config.default_hooks.timer.type == 'mmengine.IterTimerHook'
    assert config.val_evaluator.type == config.test_evaluator.type == 'mmengine.Evaluator'
    assert not config.get('custom_hooks')
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        dataset = innermost(loader.dataset)
        assert dataset.pipeline[0].type == 'mmspd.LoadImagePair'  # RGB in training and validation
        assert dataset.data_root == innermost(config.train_dataloader.dataset).data_root
    # fast, with the values of MMagic and MMEngine
    assert config.train_dataloader.collate_fn.type == 'mmspd.stack_batch'
    assert innermost(config.train_dataloader.dataset).pipeline[-1].type == 'mmspd.PackInputs'
    guided = config.model.generator.type == 'mmspd.SemanticGuided'
    assert guided == bool(promises_prior(path))
    distilled = guided and path.stem != 'net0-star' and PRETRAINED not in path.stem
    assert distilled == bool(config.model.get('teacher')) == bool(config.model.get('prior_loss'))


@pytest.mark.parametrize(
    ('name', 'counterpart'),
    [(n, plain) for n in NAMES if (plain := GUIDED.sub('_', n)) != n and plain in NAMES],
)
def test_guided_differs_from_plain_only_by_generator_and_distillation(name, counterpart):
    guided, plain = (Config.fromfile(CONFIGS[NAMES.index(each)]) for each in (name, counterpart))
    assert guided.model.generator.restorer == plain.model.generator
    # the initial weights may differ, because the paper fine-tunes MIMO-UNet+
    added = ('teacher', 'prior_loss', 'generator', 'load_official')
    left = {k: v for k, v in guided.model.items() if k not in added}
    assert left == {k: v for k, v in plain.model.items() if k != 'generator'}
    for key in ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'):
        assert guided[key] == plain[key]


@functools.cache
def stated_costs():
    """The parameters and MACs in the metafile, by the path of the config."""
    models = yaml.safe_load((RECIPES / 'metafile.yml').read_text())['Models']
    return {
        REPOSITORY / model['Config']: Cost(
            model['Metadata']['Parameters'], model['Metadata']['MACs at 256x256']
        )
        for model in models
    }


@pytest.mark.parametrize('path', EACH_CONFIG)
def test_a_config_builds_without_weights_network_and_data(path, monkeypatch):
    """The network has the stated parameters and MACs, and keeps the size of the image."""

    def refuse(*args, **kwargs):
        raise AssertionError('building a model must not download')

    monkeypatch.setattr(urllib.request.OpenerDirector, 'open', refuse)
    config = Config.fromfile(path)
    init_default_scope(config.default_scope)
    with torch.device('meta'):
        generator = build_model(config.model).generator
    shapes = []
    generator.register_forward_hook(lambda *call: shapes.append(as_list(call[-1])[-1].shape))
    cost = cost_of(generator, 256, 256)
    assert shapes == [(1, 3, 256, 256)]
    assert stated_costs().get(path, cost) == cost


def shrink(config, gopro, work_dir):
    """Override only data root, crop, batch, iterations, width and depth, weights, and TResNet-L.

    The test with the stock runner trains with TResNet-L.
    """
    generator = config.model.generator
    make_small(generator.get('restorer', generator))
    shrink_teacher(config.model)
    for discriminator in config.model.get('discriminators', {}).values():
        discriminator.base = 4
    randomize_weights(config)
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        dataset = innermost(loader.dataset)
        own = dataset.type in ('mmspd.PairedFolderDataset', 'mmspd.SharpFolderDataset')
        dataset.data_root = str(gopro / OWN if own else gopro)
        if dataset.type == 'mmspd.SharpFolderDataset':
            dataset.only_in = 'target'
        loader.update(num_workers=0, persistent_workers=False)
    for step in innermost(config.train_dataloader.dataset).pipeline:
        if 'gt_patch_size' in step:
            sizes = step.gt_patch_size
            step.gt_patch_size = 32 if isinstance(sizes, int) else [32] * len(sizes)
    config.train_dataloader.batch_size = 2
    # two steps, because SAT is the identity in the first step and passes no gradient to the prior
    innermost(config.train_dataloader.dataset).indices = 4
    for loader in (config.val_dataloader, config.test_dataloader):
        innermost(loader.dataset).indices = 2
    if 'times' in config.train_dataloader.dataset:
        config.train_dataloader.dataset.times = 1
    for metric in config.test_evaluator.metrics:
        if 'workers' in metric:
            metric.workers = 0
    config.train_cfg.update(max_epochs=1, val_interval=1)
    config.work_dir = str(work_dir)
    config.visualizer.vis_backends = [dict(type='mmengine.LocalVisBackend')]
    return config


@pytest.mark.parametrize('path', TRAINED)
def test_a_config_trains_validates_and_tests(path, gopro, tmp_path, monkeypatch):
    monkeypatch.setattr('mmspd.evaluation.summary.plot_severity', lambda *_: None)  # slow
    config = shrink(Config.fromfile(path), gopro, tmp_path)
    runner = Runner.from_cfg(config)
    before = {k: v.clone() for k, v in runner.model.state_dict().items()}
    forward_train, reads = runner.model.forward_train, support.DeviceReads()

    def watched(*args):
        with reads:
            return forward_train(*args)

    runner.model.forward_train = watched
    runner.train()
    assert not reads.places  # networks and losses must not wait for the device
    moved = [k for k, v in runner.model.state_dict().items() if not torch.equal(before[k], v)]
    guided = config.model.generator.type == 'mmspd.SemanticGuided'
    parts = ('restorer', 'prior.extractor', 'embedding') if guided else ('',)
    for prefix in [f'generator.{part}' for part in parts]:
        assert any(key.startswith(prefix) for key in moved)
    distilled = bool(config.model.get('teacher'))
    heads = distilled and config.model.prior_loss.type == 'mmspd.PriorDistillationLoss'
    assert heads == any(key.startswith('prior_loss.') for key in moved)
    logged = runner.message_hub.log_scalars
    for name in [*config.model.losses, *(['loss_prior'] if distilled else [])]:
        assert np.isfinite(logged[f'train/{name}'].current())
    result = runner.test()
    assert 3 < result['PSNR'] < 60  # untrained networks with many stages start at a low PSNR
    aligned = config.protocol == 'realblur-aligned'
    assert -1 < result['SSIM-aligned' if aligned else 'SSIM-matlab'] < 1
    assert result['blur-extent'] >= 0
    saved = torch.load(tmp_path / 'epoch_1.pth', weights_only=True)['state_dict']
    parts = {'generator', 'prior_loss'}
    if 'discriminators' in config.model:
        parts |= {'discriminators', 'adversarial_losses'}
        assert any(key.startswith('discriminators.') for key in moved)
        assert {'loss_adversarial', 'loss_discriminators'} <= {
            key.partition('/')[2] for key in logged
        }
    assert {key.split('.')[0] for key in saved} <= parts


@pytest.mark.slow
def test_recipe_table_and_metafile_match_the_configs(capsys, monkeypatch):
    """The stated parameters and MACs are checked for each config on its own."""
    recipes = support.load_tool('analysis/recipes.py')
    costs = {str(Config.fromfile(path).model.generator): c for path, c in stated_costs().items()}
    measure = recipes.measure
    monkeypatch.setattr(recipes, 'measure', lambda g: costs.get(str(g)) or measure(g))
    recipes.main(['--check'])
    assert 'metafile.yml is up to date' in capsys.readouterr().out
    index = yaml.safe_load((REPOSITORY / 'model-index.yml').read_text())
    assert index['Import'] == ['configs/spd/metafile.yml']


def test_an_outdated_recipe_table_is_refused(tmp_path, monkeypatch):
    recipes = support.load_tool('analysis/recipes.py')
    (tmp_path / 'README.md').write_text('# Recipes')
    monkeypatch.setattr(recipes, 'RECIPES', tmp_path)
    monkeypatch.setattr(recipes, 'WEIGHTS', tmp_path / 'weights.md')
    (tmp_path / 'weights.md').write_text('<!-- weights: begin -->\n<!-- weights: end -->\n')
    with pytest.raises(UserError, match='README.md has no lines <!-- recipes: begin --> and'):
        recipes.main([])
    (tmp_path / 'README.md').write_text(
        'Head\n<!-- recipes: begin -->\n| old |\n<!-- recipes: end -->\n'
        '<!-- results: begin -->\n<!-- results: end -->\n'
        '<!-- official: begin -->\n<!-- official: end -->\nTail\n'
    )
    with pytest.raises(UserError, match='README.md differs from the configs; run tools/analysis/'):
        recipes.main(['--check'])
    recipes.main([])
    recipes.main(['--check'])
    text = (tmp_path / 'README.md').read_text()
    assert text.startswith('Head\n')
    assert text.endswith('Tail\n')
    assert 'old' not in text


#: Script for an interpreter that has not imported mmspd.
STOCK_RUN = """
from mmengine.config import Config
from mmengine.runner import Runner

config = Config.fromfile('configs/spd/mimounet_sp_gopro.py')
config.merge_from_dict({{
    'work_dir': {work_dir!r},
    'train_cfg.max_epochs': 1,
    'train_cfg.val_interval': 1,
    'train_dataloader.batch_size': 1,
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'train_dataloader.dataset.pipeline.1.gt_patch_size': 32,
    'model.generator.restorer.num_res': 1,
}})
runner = Runner.from_cfg(config)
runner.train()
print('RESULT', runner.test()['PSNR'])
"""


@pytest.mark.slow
def test_stock_runner_trains_validates_and_tests(gopro, tmp_path):
    done = subprocess.run(
        [sys.executable, '-c', STOCK_RUN.format(work_dir=str(tmp_path))],
        cwd=REPOSITORY,
        env=dict(os.environ, GOPRO_ROOT=str(gopro), MMSPD_TEACHER='random'),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert 3 < float(done.stdout.rpartition('RESULT ')[2]) < 60
    assert (tmp_path / 'epoch_1.pth').exists()


@pytest.mark.slow
def test_no_teacher_in_a_checkpoint_with_ema(gopro, tmp_path):
    """EMA copies the model, but it must neither copy nor save the teacher."""
    config = shrink(
        Config.fromfile(REPOSITORY / 'configs/spd/mimounet_sp_gopro.py'), gopro, tmp_path
    )
    config.custom_hooks = [dict(type='EMAHook', momentum=0.1)]
    gc.collect()
    before = {id(o) for o in gc.get_objects() if isinstance(o, FeatureTeacher)}
    runner = Runner.from_cfg(config)
    runner.train()
    saved = torch.load(tmp_path / 'epoch_1.pth', weights_only=True)
    assert {key.split('.')[0] for key in saved['state_dict']} == {'generator', 'prior_loss'}
    averaged = {key.split('.')[1] for key in saved['ema_state_dict'] if key.startswith('module.')}
    assert averaged == {'generator', 'prior_loss'}
    assert not [key for key in saved['ema_state_dict'] if 'teacher' in key or 'timm' in key]
    alive = [o for o in gc.get_objects() if isinstance(o, FeatureTeacher) and id(o) not in before]
    assert alive == [runner.model._teacher.get(torch.device('cpu'))]
