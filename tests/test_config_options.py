"""Every option that the tables of the manual name works as one option of a command line."""

import argparse
import re
from functools import reduce
from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope

from mmspd.models import AddFusion, ConcatFusion
from mmspd.registry import build_model
from mmspd.utils.launch import add_cfg_options, read_config

REPOSITORY = Path(__file__).resolve().parents[1]
RECIPES = REPOSITORY / 'configs' / 'spd'
CPU = torch.device('cpu')
TABLES = {
    REPOSITORY / 'README.md': '### What to change, and where',
    RECIPES / 'README.md': '## Where the paper leaves a choice',
}


def options_of(page, heading):
    """The options that a table of the manual names, in its order."""
    section = page.read_text().split(heading + '\n')[1].partition('\n#')[0]
    cells = re.findall('`([^`]+)`', '\n'.join(re.findall(r'^\|.*', section, re.MULTILINE)))
    return [match for cell in cells for match in re.findall(r'[a-z]\w*(?:\.\w+)+=\S+', cell)]


OPTIONS = [option for page, heading in TABLES.items() for option in options_of(page, heading)]


def read(recipe, *options):
    """Read a recipe with ``--cfg-options`` as the tools do."""
    parser = argparse.ArgumentParser()
    add_cfg_options(parser)
    args = parser.parse_args(['--cfg-options', *options] if options else [])
    config = read_config(str(RECIPES / f'{recipe}.py'), args.cfg_options or {})
    init_default_scope(config.default_scope)
    return config, args.cfg_options


def value_of(config, key):
    return reduce(lambda part, name: part.get(name), key.split('.'), config)


def build(config):
    """Build the model without memory for its weights."""
    with torch.device('meta'):
        return build_model(config.model)


def all_are(modules, kind):
    return {type(module) for module in modules.values()} == {kind}


#: What the model of a recipe is with an option.
EFFECTS = {
    'model.channels_last=True': lambda m: m.memory_format is torch.channels_last,
    'model.teacher.dtype=bfloat16': lambda m: m._teacher.get(CPU).dtype == torch.bfloat16,
    'model.compile=True': lambda m: m._compiled_generator.options == dict(dynamic=False),
    'model.generator.with_cp=True': lambda m: m.generator.restorer.with_cp,
    'model.generator.detach_prior=True': lambda m: m.generator.detach_prior,
    'model.generator.detach_prior=False': lambda m: not m.generator.detach_prior,
    'model.generator.prior.extractor.width=128': lambda m: m.generator.prior.channels == (128,) * 3,
    'model.generator.prior.clc=None': lambda m: m.generator.prior.clc is None,
    'model.generator.prior.clc.gate=sigmoid': lambda m: m.generator.prior.clc.gate == 'sigmoid',
    'model.generator.embedding.mla=None': lambda m: m.generator.embedding.mla is None,
    'model.generator.embedding.mla.gate=sigmoid': lambda m: (
        {level.gate for level in m.generator.embedding.mla.values()} == {'sigmoid'}
    ),
    'model.generator.embedding.fusion.type=mmspd.AddFusion': lambda m: all_are(
        m.generator.embedding.fusions, AddFusion
    ),
    'model.generator.embedding.fusion.type=mmspd.ConcatFusion': lambda m: all_are(
        m.generator.embedding.fusions, ConcatFusion
    ),
    'model.prior_loss.hcl.reading=literal': lambda m: m.prior_loss.hcl.reading == 'literal',
    'model.prior_loss.hcl.reading=reviewkd': lambda m: m.prior_loss.hcl.reading == 'reviewkd',
    'model.prior_loss.loss_weight=1.0': lambda m: m.prior_loss.loss_weight == 1.0,
    'model.prior_loss.normalize=False': lambda m: m.prior_loss.norms is None,
}


@pytest.mark.parametrize('option', dict.fromkeys(OPTIONS))
def test_an_option_of_the_manual_changes_the_recipe(option, monkeypatch):
    monkeypatch.setenv('MMSPD_TEACHER', 'random')
    recipe = 'prior_type/seg-onehot' if 'detach_prior=False' in option else 'mimounet_sp_gopro'
    plain, _ = read(recipe)
    config, values = read(recipe, option)
    ((key, value),) = values.items()
    before, after = (
        reduce(lambda part, name: part.get(name), key.split('.'), each) for each in (plain, config)
    )
    assert after == value != before
    model = build(config)
    if key.startswith('model.'):
        assert EFFECTS[option](model)
        assert not EFFECTS[option](build(plain))


def test_every_effect_is_of_an_option_of_the_manual():
    assert set(EFFECTS) <= set(OPTIONS)


@pytest.mark.parametrize('recipe', sorted(path.stem for path in RECIPES.glob('*_sp[_-]*.py')))
def test_the_parts_of_every_guided_recipe(recipe):
    options = [
        'model.generator.prior.extractor.width=32',
        'model.generator.prior.clc.gate=sigmoid',
        'model.generator.embedding.mla.gate=sigmoid',
        'model.generator.embedding.fusion.type=mmspd.AddFusion',
    ]
    distilled = '_sp-pretrained_' not in recipe
    if distilled:
        options += ['model.prior_loss.hcl.reading=literal', 'model.prior_loss.normalize=False']
    config, _ = read(recipe, *options)
    model = build(config)
    assert model.generator.prior.channels == (32, 32, 32)
    assert all(EFFECTS[option](model) for option in options[1:])
