"""Every option in the manual's tables works on the command line."""

import argparse
import re
from functools import reduce
from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from restorer_contract import make_small

from mmspd.registry import build_model
from mmspd.utils.launch import add_cfg_options, read_config

REPOSITORY = Path(__file__).resolve().parents[1]
RECIPES = REPOSITORY / 'configs' / 'spd'
TABLES = {
    REPOSITORY / 'docs' / 'config.md': '## Find an option',
    RECIPES / 'README.md': '## Where the paper leaves a choice',
}


def options_of(page, heading):
    """The options in a table of the manual, in order."""
    section = page.read_text().split(heading + '\n')[1].partition('\n#')[0]
    cells = re.findall('`([^`]+)`', '\n'.join(re.findall(r'^\|.*', section, re.MULTILINE)))
    return [match for cell in cells for match in re.findall(r'[a-z]\w*(?:\.\w+)+=\S+', cell)]


OPTIONS = [option for page, heading in TABLES.items() for option in options_of(page, heading)]


def recipe_for(option):
    """The recipe to which an option of the manual belongs."""
    if 'pipeline.1.on_device' in option:
        return '../own_data/mimounet_photos'
    if 'norm_eval' in option or 'frozen' in option:
        return 'mimounet_sp-pretrained_gopro'
    return 'prior_type/seg-onehot' if 'detach_prior=False' in option else 'mimounet_sp_gopro'


def read(recipe, *options):
    """Read a recipe with ``--cfg-options`` in the same way as the tools."""
    parser = argparse.ArgumentParser()
    add_cfg_options(parser)
    args = parser.parse_args(['--cfg-options', *options] if options else [])
    config = read_config(str(RECIPES / f'{recipe}.py'), args.cfg_options or {})
    init_default_scope(config.default_scope)
    return config, args.cfg_options


def value_of(config, key):
    def step(part, name):
        return part[int(name)] if isinstance(part, list) else (part or {}).get(name)

    return reduce(step, key.split('.'), config)


def build(config):
    """Build the model on the meta device, without memory for weights."""
    with torch.device('meta'):
        return build_model(config.model)


#: Functions that read the value of an option from the model.
OUTCOMES = {
    'model.channels_last': lambda m: m.memory_format is torch.channels_last,
    'model.compile': lambda m: m._compiled_generator.options is not False,
    'model.teacher_stream': lambda m: m._beside_generator.active,
    'model.teacher.scale': lambda m: m._teacher.get(torch.device('cpu')).scale,
    'model.teacher.dtype': lambda m: str(m._teacher.get(torch.device('cpu')).dtype)[6:],
    'model.load_official': lambda m: m.official_weights,
    'model.generator.with_cp': lambda m: m.generator.restorer.with_cp,
    'model.generator.detach_prior': lambda m: m.generator.detach_prior,
    'model.generator.prior.extractor.width': lambda m: m.generator.prior.channels[0],
    'model.generator.prior.extractor.norm_eval': lambda m: m.generator.prior.extractor.norm_eval,
    'model.generator.prior.extractor.frozen': lambda m: m.generator.prior.extractor.frozen,
    'model.generator.prior.clc': lambda m: m.generator.prior.clc,
    'model.generator.prior.clc.gate': lambda m: m.generator.prior.clc.gate,
    'model.generator.embedding.mla': lambda m: m.generator.embedding.mla,
    'model.generator.embedding.mla.gate': lambda m: m.generator.embedding.mla['0'].gate,
    'model.generator.embedding.fusion.type': lambda m: f'mmspd.{first_fusion(m)}',
    'model.prior_loss.hcl.reading': lambda m: m.prior_loss.hcl.reading,
    'model.prior_loss.loss_weight': lambda m: m.prior_loss.loss_weight,
    'model.prior_loss.normalize': lambda m: m.prior_loss.norms is not None,
}


def first_fusion(model):
    return type(next(iter(model.generator.embedding.fusions.values()))).__name__


def test_the_manual_names_every_tested_option():
    assert set(OUTCOMES) < {option.partition('=')[0] for option in OPTIONS}


@pytest.mark.slow
@pytest.mark.parametrize('option', dict.fromkeys(OPTIONS))
def test_an_option_of_the_manual_changes_the_recipe(option, monkeypatch):
    monkeypatch.setenv('MMSPD_TEACHER', 'random')
    recipe = recipe_for(option)
    plain, _ = read(recipe)
    config, values = read(recipe, option)
    ((key, value),) = values.items()
    before, after = value_of(plain, key), value_of(config, key)
    assert after == value != before
    if key.startswith('model.'):
        assert OUTCOMES[key](build(config)) == value


@pytest.mark.slow
@pytest.mark.parametrize('recipe', sorted(path.stem for path in RECIPES.glob('*_sp[_-]*.py')))
def test_the_parts_of_every_guided_recipe(recipe):
    options = [
        *('model.generator.prior.extractor.width=32', 'model.generator.prior.clc.gate=sigmoid'),
        'model.generator.embedding.mla.gate=sigmoid',
        'model.generator.embedding.fusion.type=mmspd.AddFusion',
    ]
    if '_sp-pretrained_' not in recipe:
        options += ['model.prior_loss.hcl.reading=literal', 'model.prior_loss.normalize=False']
    config, values = read(recipe, *options)
    make_small(config.model.generator.restorer)
    model = build(config)
    assert {key: OUTCOMES[key](model) for key in values} == values
