"""Fixtures of a tiny study: MIMO-UNets of a few thousand weights on pairs of 32x32 pixels."""

import pytest
from prior_study.plan import Study

TESTS = """
test_dataloader = dict(val_dataloader, batch_size=2)
test_sets = dict(val=val_dataloader['dataset'])
test_evaluator = dict(type='mmengine.Evaluator', metrics=[
    dict(type='mmspd.PSNR', report_input=True),
    dict(type='mmspd.SSIM', mode='2d'),
    dict(type='mmspd.BlurSeverity')])
visualizer = dict(
    _delete_=True, type='mmengine.Visualizer', vis_backends=[dict(type='LocalVisBackend')])
"""

STUDY = """
epochs = 2
variants = [
    dict(name='plain', about='no prior', base='plain.py'),
    dict(name='seven', about='width 7', base='plain.py', options={'model.generator.base': 7}),
    dict(
        name='wide',
        about='wide',
        base='plain.py',
        match_macs=dict(to='seven', key='model.generator.base'),
    ),
    dict(name='guided', about='guided', base='guided.py'),
    dict(name='slow', base='guided.py', options={'optim_wrapper.optimizer.lr': 1e-4}),
    dict(name='shuffled', shuffle='guided'),
    dict(name='tuned', base='guided.py', start_from='plain', length=0.5),
    dict(name='broken', base='plain.py', options=dict(model=dict(multi_scale_targets='none'))),
]
order = [dict(variants=['plain', 'guided'], seeds=[0, 1]), dict(variants=['shuffled'], seeds=[0])]
"""


@pytest.fixture
def write_study(write_config, tmp_path):
    """A function that writes the study with some Python appended, and returns its path."""

    def write(extra=''):
        write_config(TESTS, 'plain.py')
        write_config(TESTS, 'guided.py', 'guided')
        path = tmp_path / 'study.py'
        path.write_text(STUDY + extra)
        return str(path)

    return write


@pytest.fixture
def study(write_study):
    return Study(write_study())
