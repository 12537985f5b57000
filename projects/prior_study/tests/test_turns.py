"""Train variants in turns: equal time and samples, averaged weights, runs that are cut off."""

import copy
import json
import math
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner, set_random_seed
from prior_study import turns_run
from prior_study.plan import Row, Study
from prior_study.turns import Training, marks_until, train_in_turns
from prior_study.turns_data import load_pairs, use_photos
from prior_study.turns_report import after_same_samples, paired_gain

from mmspd.engine.seed_hook import iteration_seed
from mmspd.errors import UserError
from mmspd.registry import build_model

PROJECT = '../projects/prior_study'
CPU = torch.device('cpu')

STUDY = """
epochs = 1
options = {'train_dataloader': dict(drop_last=True, dataset=dict(
    _delete_=True,
    type='mmspd.SharpFolderDataset',
    data_root='photos',
    pipeline=[
        dict(type='mmspd.LoadImagePair'),
        dict(type='mmspd.SynthesizeBlur', gt_patch_size=32, extent=(2, 6), on_device=True),
        dict(type='mmspd.FlipAndTranspose'),
        dict(type='mmspd.PackInputs', meta_keys=['key']),
    ],
))}
variants = [dict(name='plain', base='plain.py'), dict(name='guided', base='guided.py')]
order = [dict(variants=['plain', 'guided'], seeds=[0])]
"""


@pytest.fixture
def photos(tmp_path):
    """Folders of photos: two to train on and one to test on."""
    rng = np.random.default_rng(0)
    for folder, count in (('a', 2), ('b', 1), ('test', 3)):
        for number in range(count):
            path = tmp_path / 'photos' / folder / f'{number}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            small = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
            cv2.imwrite(str(path), cv2.resize(small, (48, 36)))
    return tmp_path / 'photos'


@pytest.fixture
def study(write_config, tmp_path):
    """The path of a study of two tiny networks with dropout."""
    write_config('', 'plain.py')
    write_config('', 'guided.py', 'guided')
    path = tmp_path / 'study.py'
    path.write_text(STUDY)
    return str(path)


@pytest.fixture
def compare(call_tool, study, photos, pairs_root, tmp_path, monkeypatch):
    """A function that runs the command, and returns code, output, errors and the record.

    The variants train for 0.2 s each. The time limit is far away, so that no test needs a fast CPU.
    """
    monkeypatch.setattr(turns_run, 'marks_until', lambda seconds, count: marks_until(0.2, count))

    def run(*arguments):
        code, output, errors = call_tool(
            *(f'{PROJECT}/gpu.py', study, '--device', 'cpu', '--workers', 0),
            *('--train', photos / 'a', photos / 'b', '--test', f'kodak24={photos / "test"}'),
            *('--pairs', f'real={pairs_root / "val"}', '--reference', 'plain'),
            *('--out', tmp_path / 'out', '--blurred', tmp_path / 'blurred', *arguments),
        )
        path = tmp_path / 'out' / 'curves.json'
        return code, output, errors, json.loads(path.read_text()) if path.is_file() else None

    return run


@pytest.mark.slow
def test_a_comparison_leaves_curves_tests_and_a_report(compare, tmp_path):
    code, _, errors, record = compare('--turn', 0.05)
    assert code == 0, errors
    (run,) = record['runs']
    assert (run['seed'], run['status']) == (0, 'done')
    plain, guided = run['variants'].values()
    assert plain['macs'] < guided['macs']
    # equal time, equal samples
    for variant in (plain, guided):
        seconds, samples = ([p[key] for p in variant['curve']] for key in ('seconds', 'samples'))
        assert (len(seconds), seconds[0], samples[0]) == (9, 0, 0)
        assert (seconds, samples) == (sorted(seconds), sorted(samples))
        assert samples[1] > 0
        assert seconds[-1] >= 0.2
        # on a slow machine, a step may pass two marks; then there is no new loss
        assert all(
            p['loss'] > 0
            for before, p in pairwise(variant['curve'])
            if p['samples'] > before['samples']
        )
        assert 0 < variant['curve'][-1]['waiting'] < seconds[-1]
        # one of three blurs of each photo is watched
        assert {len(p['psnr']['kodak24']) for p in variant['curve']} == {3}
        images = variant['tests']['kodak24']
        assert len(images) == 9
        tested = {image['key']: image['PSNR'] for image in images}
        assert variant['curve'][-1]['psnr']['kodak24'].items() <= tested.items()
        assert {'PSNR-input', 'SSIM-2d'} <= images[0].keys()
        assert [round(i['extent']) in range(3, 26) for i in images] == [True] * 9
        assert [image['key'] for image in variant['tests']['real']] == ['00', '01']
    count = min(len(plain['batches']), len(guided['batches']))
    assert plain['batches'][:count] == guided['batches'][:count]
    assert len(set(plain['batches'])) == len(plain['batches']) > 0
    page = (tmp_path / 'out' / 'README.md').read_text()
    assert 'gain, 13 to 25 px (n = 3)' in page
    assert '![The centers of three images](real.png)' in page
    assert 'cut off' not in page
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {
        *('README.md', 'curves.json', 'curves.png', 'kodak24.png', 'real.png')
    }


@pytest.mark.slow
def test_a_comparison_that_is_cut_off_leaves_its_results(compare, call_tool, monkeypatch, tmp_path):
    calls, evaluate = [], turns_run.evaluate

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 8:  # the second variant after the first step
            raise KeyboardInterrupt
        return evaluate(*arguments)

    monkeypatch.setattr(turns_run, 'evaluate', interrupted)
    code, _, _, record = compare()
    assert code == 130
    variants = record['runs'][0]['variants']
    assert [len(variant['curve']) for variant in variants.values()] == [3, 2]
    code, output, _ = call_tool(f'{PROJECT}/gpu_report.py', tmp_path / 'out')
    assert (code, "README.md' is the report." in output) == (0, True)
    assert 'Seed 0 was cut off.' in (tmp_path / 'out' / 'README.md').read_text()


@pytest.mark.slow
def test_a_comparison_that_the_time_limit_stops_is_still_tested(
    study, photos, pairs_root, monkeypatch, tmp_path
):
    def without_time(*arguments):
        return train_in_turns(*arguments[:-1], deadline=0)

    monkeypatch.setattr(turns_run, 'train_in_turns', without_time)
    config = Study(study).config(Row('plain', 0))
    use_photos(config, [photos / 'a'], workers=0)
    tests = [load_pairs('real', pairs_root / 'val')]
    comparison = turns_run.Comparison({}, tests, tests, CPU, tmp_path)
    comparison.run(dict(plain=config), seed=0, turn=1, end=math.inf)
    (run,) = json.loads((tmp_path / 'curves.json').read_text())['runs']
    assert run['status'] == 'stopped'
    plain = run['variants']['plain']
    assert [point['samples'] for point in plain['curve']] == [0, 0]
    assert [image['key'] for image in plain['tests']['real']] == ['00', '01']
    with pytest.raises(UserError, match='leaves none for training; raise --minutes'):
        comparison.run(dict(plain=config), seed=0, turn=1, end=0)


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_only_this_training(study, photos):
    config = Study(study).config(Row('plain', 0))
    use_photos(config, [photos / 'a'], workers=0)
    config.optim_wrapper.optimizer.lr = 1e30
    training = Training(config, CPU, seed=0)
    training.advance(math.inf)
    assert training.diverged
    assert 0 < training.steps < 9


def test_test_sets_need_different_names(compare):
    code, _, errors, record = compare('--test', 'a=photos', 'b=photos', '--pairs', 'a=pairs')
    assert (code, "Two test sets have the name 'a'" in errors, record) == (2, True, None)


@pytest.mark.slow
def test_the_averaged_weights_are_those_of_an_own_training(study, photos):
    config = Study(study).config(Row('guided', 3))
    use_photos(config, [photos / 'a', photos / 'b'], workers=0)
    training = Training(config, CPU, seed=3)
    for _ in range(3):
        training.advance(training.seconds + 1e-9)  # one step
    assert training.progress().keys() == {'seconds', 'waiting', 'samples', 'loss'}
    assert (training.steps, training.progress()['samples']) == (3, 6)

    set_random_seed(3)
    model = build_model(config.model)
    model.init_weights()
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    batches = iter(Runner.build_dataloader(config.train_dataloader, seed=3))
    states = []
    for step in range(3):
        batch = next(batches)
        torch.manual_seed(iteration_seed(3, 0, step))
        model.train_step(batch, wrapper)
        states.append(copy.deepcopy(model.state_dict()))
    # a_1 = w_1, then 10/11 and 10/12 of the new weights
    averaged = training.average.model.state_dict()
    for name, (first, second, third) in zip(averaged, zip(*(s.values() for s in states))):
        expected = (first / 11 + second * 10 / 11) * 2 / 12 + third * 10 / 12
        torch.testing.assert_close(averaged[name], expected)
    assert not torch.equal(*(s['generator.restorer.Convs.0.main.0.weight'] for s in states[1:]))
    weight = 'generator.restorer.Convs.0.main.0.weight'
    assert not torch.equal(averaged[weight], states[-1][weight])
    assert not training.average.model.training


@pytest.mark.slow
def test_the_study_of_recipes_has_four_variants_of_equal_cost():
    study = Study('projects/prior_study/configs/gpu.py', 'bfloat16')
    assert [row.variant for row in study.rows()] == ['plain', 'widened', 'distilled', 'pretrained']
    widened = study.variant('widened')
    assert widened.match_macs == dict(to='pretrained', key='model.generator.base')
    assert widened.base == study.variant('plain').base
    plain, distilled, pretrained = configs = [
        study.config(Row(name, 0)) for name in ('plain', 'distilled', 'pretrained')
    ]
    assert plain.model.generator.base == 16
    assert distilled.model.generator.restorer.base == pretrained.model.generator.restorer.base == 16
    assert (distilled.model.teacher.scale, distilled.model.prior_loss.normalize) == (1, True)
    assert distilled.model.teacher.backbone.model_name == 'tf_efficientnet_lite0'
    prior = pretrained.model.generator.prior
    assert (prior.normalize, prior.extractor.type) == (True, 'mmspd.BackboneExtractor')
    assert (prior.extractor.scale, pretrained.model.get('teacher')) == (2, None)
    for config in configs:
        assert (config.optim_wrapper.dtype, config.optim_wrapper.optimizer.lr) == ('bfloat16', 5e-4)
        blur = config.train_dataloader.dataset.pipeline[1]
        assert (blur.extent, blur.on_device, blur.gt_patch_size) == ((3, 25), True, 256)
    full = Study('projects/prior_study/configs/gpu_base32.py')
    assert full.config(Row('plain', 0)).model.generator.base == 32
    assert full.variant('distilled').options['model.generator.restorer.base'] == 32


class Stopwatch:
    """A training that takes exactly the time that it is told to take."""

    def __init__(self, name, log):
        self.name, self.log, self.seconds = name, log, 0.0

    def advance(self, until):
        self.seconds = until
        self.log.append((self.name, until))


def in_turns(marks, turn, **options):
    log = []
    trainings = {name: Stopwatch(name, log) for name in 'ab'}
    complete = train_in_turns(
        trainings, marks, turn, lambda name: log.append(f'evaluate {name}'), **options
    )
    return complete, log


def test_turns_are_short_and_end_at_the_marks():
    assert marks_until(8, count=3) == [2, 4, 8]
    assert in_turns([2, 5], turn=2) == (
        True,
        [
            *[('a', 2), ('b', 2), 'evaluate a', 'evaluate b'],
            *[('a', 4), ('b', 4), ('a', 5), ('b', 5), 'evaluate a', 'evaluate b'],
        ],
    )
    # after the deadline, the variants are evaluated once
    assert in_turns([2, 5], turn=2, deadline=0) == (False, ['evaluate a', 'evaluate b'])


def test_gains_are_paired_by_time_and_by_samples():
    keys = [f'im{photo}/kernel{kernel}' for photo in range(4) for kernel in range(8)]
    reference, other = (dict.fromkeys(keys, value) for value in (25.0, 25.5))
    gain = paired_gain([(reference, other), (reference, reference)])
    assert (gain.per_seed, gain.mean) == ([0.5, 0.0], 0.25)
    assert gain.text() == '+0.25 (+0.50, +0.00)'  # no interval: these are four photos only
    assert paired_gain([]) is None

    curve = [dict(samples=n, psnr=dict(test={'x': psnr})) for n, psnr in ((10, 20.0), (1000, 24.0))]
    point = dict(samples=100, psnr=dict(test={'x': 23.0}))
    assert after_same_samples(curve, point, 'test') == ({'x': 22.0}, {'x': 23.0})
    for samples in (9, 1001):
        assert after_same_samples(curve, dict(point, samples=samples), 'test') is None
