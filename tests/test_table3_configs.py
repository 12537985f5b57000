"""Table 3: each step of MIMO-UNet and MPRNet adds exactly the named module."""

import functools
from pathlib import Path

import pytest
from mmengine.config import Config

CONFIGS = Path(__file__).resolve().parents[1] / 'configs' / 'spd'
MIMO = ('multi_input', 'aff', 'multi_output')
MPRNET = ('sam', 'csff')

#: Names of a step and of the next one, and what the next one changes: keys and their two values.
STEPS = [
    ('table3/mimounet-baseline', 'table3/mimounet-aff', {'aff': (False, True)}),
    ('table3/mimounet-aff', 'table3/mimounet-aff-mi', {'multi_input': (False, True)}),
    ('table3/mimounet-aff-mi', 'table3/mimounet-aff-mimo', {'multi_output': (False, True)}),
    (
        'table3/mimounet-aff-mimo',
        'table3/mimounet-aff-mimo-msfr',
        {'loss_freq': (None, dict(type='mmspd.FrequencyLoss', loss_weight=0.1))},
    ),
    ('table3/mprnet-baseline', 'table3/mprnet-sam', {'sam': (False, True)}),
    ('table3/mprnet-baseline', 'table3/mprnet-csff', {'csff': (False, True)}),
    ('table3/mprnet-sam', 'table3/mprnet-sam-csff', {'csff': (False, True)}),
    ('table3/mprnet-csff', 'table3/mprnet-sam-csff', {'sam': (False, True)}),
    ('table3/mimounet-aff-mimo-msfr', 'mimounet', {}),
    ('table3/mprnet-sam-csff', 'mprnet', {}),
]


@functools.cache
def settings(name):
    """All settings of a recipe as a flat dict; switches that are not set are on."""
    config = Config.fromfile(CONFIGS / f'{name}_gopro.py').to_dict()
    del config['work_dir']
    model = config.pop('model')
    generator, losses = model.pop('generator'), model.pop('losses')
    switches = MIMO if generator['type'] == 'mmspd.MIMOUNet' else MPRNET
    return {**config, **model, **losses, **dict.fromkeys(switches, True), **generator}


@pytest.mark.parametrize(('name', 'following', 'changes'), STEPS)
def test_a_step_changes_only_the_named_module(name, following, changes):
    before, after = settings(name), settings(following)
    keys = before.keys() | after.keys()
    changed = {k: (before.get(k), after.get(k)) for k in keys if before.get(k) != after.get(k)}
    assert changed == changes


@pytest.mark.parametrize(('name', 'switches'), [('mimounet', MIMO), ('mprnet', MPRNET)])
def test_a_baseline_has_none_of_the_modules(name, switches):
    baseline, complete = settings(f'table3/{name}-baseline'), settings(name)
    assert [baseline[switch] for switch in switches] == [False] * len(switches)
    assert [complete[switch] for switch in switches] == [True] * len(switches)
    losses = {key for key in baseline if key.startswith('loss_')}
    assert losses == ({'loss_pix'} if name == 'mimounet' else {'loss_charbonnier', 'loss_edge'})
