"""Names at the top of a config that have no effect are found, and variables are accepted."""

from pathlib import Path

import pytest
from mmengine.config import Config

from mmspd.errors import UserError
from mmspd.utils.config_names import check_names, check_options, runner_keys

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ('name', 'key'),
    [
        ('optim_wraper', 'optim_wrapper'),
        ('optim_warper', 'optim_wrapper'),
        ('modle', 'model'),
        ('load_form', 'load_from'),
        ('train_dataloder', 'train_dataloader'),
        ('val_cfgs', 'val_cfg'),
        ('custom_hook', 'custom_hooks'),
        ('param_schedulers', 'param_scheduler'),
        ('resum', 'resume'),
        ('randomnes', 'randomness'),
    ],
)
def test_misspelled_keys_are_refused(name, key):
    config = Config({'model': dict(type='X'), name: dict(a=1)})
    with pytest.raises(UserError) as error:
        check_names(config, 'x.py')
    assert str(error.value) == (
        f'x.py has the key {name!r}, which has no effect; rename it to {key!r}.'
    )


def test_variables_are_accepted():
    """A variable may resemble a key if it is used."""
    names = 'teacher guided max_epochs train_pipeline test_config prior pretrained lr dataset'
    config = Config({name: dict(a=1) for name in [*names.split(), *sorted(runner_keys())]})
    check_names(config, 'x.py')
    model = dict(type='X', width=4)
    check_names(Config(dict(models=model, model=dict(part=[model]))), 'x.py')
    with pytest.raises(UserError, match='models'):
        check_names(Config(dict(models=model, model=dict(width=4))), 'x.py')


@pytest.mark.parametrize(
    ('option', 'hint'),
    [
        ('max_epochs', ', such as train_cfg.max_epochs and param_scheduler.max_epochs'),
        ('teacher.scale', ', such as model.teacher.scale'),
        ('guided.prior.type', ''),
    ],
)
def test_options_for_variables_are_refused(option, hint):
    path = str(REPOSITORY / 'configs' / 'spd' / 'restormer_sp_gopro.py')
    config = Config.fromfile(path)
    with pytest.raises(UserError) as error:
        check_options(config, {'train_cfg.max_epochs': 1, option: 1}, path)
    name = option.partition('.')[0]
    assert str(error.value) == (
        f'--cfg-options {option} has no effect, because {name!r} is only a variable of {path}; set '
        f'the keys that use it{hint}.'
    )


def test_options_for_keys_are_accepted():
    config = Config(dict(protocol='gopro', model=dict(a=1), lists=[dict(b=1)]))
    check_options(
        config, {'protocol': 'x', 'model.a': 1, 'launcher': 'none', 'sync_bn': 'torch'}, ''
    )
