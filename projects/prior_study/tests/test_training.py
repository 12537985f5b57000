"""Test the record of a run, and that stopping and restarting the run does not change it."""

import json
import math

import pytest
from prior_study import training
from prior_study.plan import Row, Study
from prior_study.record import read_record, write_record
from prior_study.training import run_row

from mmspd.errors import UserError

FOREVER = math.inf
GUIDED = Row('guided', 0)

pytestmark = pytest.mark.slow


def numbers(record):
    """Return the parts of a record that must not depend on interruptions."""
    epochs = [{k: v for k, v in e.items() if k != 'seconds'} for e in record['epochs']]
    images = {name: test['images'] for name, test in record['tests'].items()}
    return json.dumps([epochs, record['curve'], record['batches'], images])


def test_a_stopped_run_continues_to_the_same_numbers(study, tmp_path):
    whole = run_row(study, GUIDED, tmp_path / 'a', FOREVER)
    assert whole['status'] == 'done'
    assert [epoch['step'] for epoch in whole['epochs']] == [3, 6]
    assert [point['epoch'] for point in whole['curve']] == [1, 2]
    assert set(whole['epochs'][0]) >= {'loss', 'loss_pix', 'loss_freq', 'seconds'}
    assert len(whole['batches']) == len(set(whole['batches'])) == 6
    assert [image['key'] for image in whole['tests']['val']['images']] == ['00', '01']
    assert whole['parameters'] > 0
    assert whole['macs'] > 0

    stopped = run_row(study, GUIDED, tmp_path / 'b', 0)
    assert (stopped['status'], len(stopped['epochs'])) == ('stopped', 1)
    # the run is killed between a checkpoint and its validation
    record = read_record(GUIDED.folder(tmp_path / 'b'))
    record['curve'].clear()
    GUIDED.folder(tmp_path / 'b').joinpath('result.json').write_text(json.dumps(record))
    resumed = run_row(study, GUIDED, tmp_path / 'b', FOREVER)
    assert numbers(resumed) == numbers(whole)

    # a finished run is not repeated, and results of another config are refused
    assert run_row(study, GUIDED, tmp_path / 'b', FOREVER) == resumed
    shuffled = run_row(study, Row('shuffled', 0), tmp_path / 'b', FOREVER)
    assert 'curve' not in shuffled
    assert shuffled['tests']['val']['images'] != resumed['tests']['val']['images']
    changed = tmp_path / 'guided.py'
    changed.write_text(changed.read_text() + "optim_wrapper['optimizer']['lr'] = 1e-5\n")
    with pytest.raises(UserError, match='another config of guided seed 0; delete the folder'):
        run_row(Study(study.path), GUIDED, tmp_path / 'b', FOREVER)


def test_the_last_point_of_an_odd_length_is_not_lost(study, tmp_path):
    study.val_interval, row = 2, Row('seven', 0)
    study.epochs = 3
    whole = run_row(study, row, tmp_path, FOREVER)
    assert [point['epoch'] for point in whole['curve']] == [2, 3]
    # the run is killed between the last checkpoint and the last validation
    record = dict(whole, status='running', tests={}, curve=whole['curve'][:1])
    write_record(row.folder(tmp_path), record)
    assert run_row(study, row, tmp_path, FOREVER)['curve'] == whole['curve']


def test_all_variants_see_the_same_batches_and_failures_are_recorded(study, tmp_path):
    plain = run_row(study, Row('plain', 0), tmp_path, FOREVER)
    tuned = run_row(study, Row('tuned', 0), tmp_path, FOREVER)
    assert tuned['status'] == 'done'
    assert tuned['batches'] == plain['batches'][:3]
    broken = run_row(study, Row('broken', 0), tmp_path, FOREVER)
    assert broken['status'] == 'failed'
    assert 'none' in broken['error']
    missing = run_row(study, Row('shuffled', 0), tmp_path, FOREVER)
    assert missing['error'] == "The run 'guided seed 0' is not done; run it first."


def test_swapped_priors_come_from_another_part_of_the_test_set(monkeypatch):
    monkeypatch.setattr(training.DATASETS, 'build', lambda config: range(12))
    order = training._far_apart('val', dict(type='Pairs'), 4)['indices']
    assert sorted(order) == list(range(12))
    for start in range(0, 12, 4):
        batch = order[start : start + 4]
        assert all(abs(a - b) >= 3 for a in batch for b in batch if a != b)
    with pytest.raises(
        UserError, match='batch_size=5 must be above 1 and divide the 12 images of val '
    ):
        training._far_apart('val', dict(type='Pairs'), 5)
