"""The archive and the report of a study, made from records with known numbers."""

import json

import numpy as np
import pytest
from prior_study.archive import add_runs, load_images, load_runs
from prior_study.gains import Gain, by_extent, gain_of, share_of
from prior_study.plan import Study
from prior_study.record import write_record
from prior_study.report import Results, front_table, write_report
from prior_study.statistics import crossed_interval, p_value, seed_interval

from mmspd.errors import UserError

KEYS = [f'photo{photo}/{copy}' for photo in range(8) for copy in range(3)]
VARIANTS = ['plain', 'guided', 'slow', 'wide', 'odd']
EXTENTS = (1.0, 2.0, 4.0)  # pixels of photos of 100x100 pixels

TABLES = """
title = 'Tiny study'
claims = [('guided', 'plain'), ('slow', 'plain')]
gains = [('guided', 'plain'), ('slow', 'plain'), ('wide', 'plain')]
tables = [dict(title='Main', gains=gains)]
"""


def record(variant, seed, psnr, status='done', batch='a'):
    images = [
        {
            'key': key,
            'PSNR': value,
            'PSNR-input': 20.0,
            'SSIM-2d': 0.5,
            'blur-extent': EXTENTS[int(key[-1])],
            'size': [100, 100],
        }
        for key, value in zip(KEYS, psnr)
    ]
    return dict(
        study='s',
        variant=variant,
        seed=seed,
        status=status,
        about=f'the {variant}',
        config='abc',
        machine=dict(processor='Some CPU', torch='2.11.0'),
        parameters=500_000,
        macs=2_000_000_000,
        batches=[f'{batch}{seed}'],
        epochs=[
            dict(epoch=1, step=50, seconds=90.0, loss_prior=2.0),
            dict(epoch=2, step=100, seconds=30.0, loss_prior=2.0),
        ],
        curve=[dict(epoch=1, step=50, PSNR=21.0 + seed), dict(epoch=2, step=100, PSNR=22.0)],
        tests=dict(kodak24=dict(images=images)),
    )


@pytest.fixture
def gains():
    """Gains of 'guided' over 'plain', shape (seeds, images)."""
    return 1 + np.random.default_rng(0).normal(0, 0.1, (2, len(KEYS)))


@pytest.fixture
def runs(tmp_path, gains):
    """A folder of runs of two variants with two seeds each, and of a third run of 'guided'."""
    rng = np.random.default_rng(1)
    for seed in (0, 1):
        plain = 22 + rng.random(len(KEYS))
        for variant, psnr in (('plain', plain), ('guided', plain + gains[seed])):
            write_record(tmp_path / 'runs' / variant / f'seed{seed}', record(variant, seed, psnr))
    write_record(tmp_path / 'runs' / 'guided' / 'seed2', record('guided', 2, plain))
    write_record(tmp_path / 'runs' / 'slow' / 'seed0', record('slow', 0, plain, status='stopped'))
    return tmp_path / 'runs'


def test_gains_are_paired_by_seed_and_image(runs, gains, tmp_path):
    write_record(runs / 'other' / 'seed0', record('other', 0, [22.0] * len(KEYS)))
    assert add_runs(runs, tmp_path / 'archive', VARIANTS) == 5  # not the run of another study
    images = load_images(tmp_path / 'archive')['kodak24']
    loaded = load_runs(tmp_path / 'archive', ['plain', 'guided', 'slow'])
    assert list(loaded) == ['plain', 'guided']
    gain = gain_of(loaded['guided'], loaded['plain'], 'kodak24', images)
    assert gain.seeds == [0, 1]  # the third seed of 'guided' has no partner
    rounded = pytest.approx(gains.mean(1).tolist(), abs=2e-4)  # the archive has four digits
    assert gain.per_seed == rounded
    assert gain.over_seeds == pytest.approx(seed_interval(gain.per_seed))
    photos = [key.split('/')[0] for key in KEYS]
    assert gain.over_both == pytest.approx(crossed_interval(gains, photos), abs=2e-4)
    strong = by_extent(images)['above 3.2 %']
    assert strong == [key.endswith('2') for key in KEYS]
    part = gain_of(loaded['guided'], loaded['plain'], 'kodak24', images, strong)
    assert part.mean == pytest.approx(gains[:, 2::3].mean(), abs=2e-4)
    assert gain_of(loaded['guided'], {7: loaded['plain'][0]}, 'kodak24', images) is None


def test_the_share_of_a_gain_has_fiellers_interval():
    def gain(values):
        return Gain(list(range(len(values))), values, float(np.mean(values)), None, None, None)

    short, long = gain([0.50, 0.52, 0.51]), gain([0.30, 0.33, 0.31])
    share, interval = share_of(long, short)
    assert share == pytest.approx(0.94 / 1.53)
    for end in interval:  # a ratio at an end of the interval is just rejected by a t test
        assert p_value(np.subtract(long.per_seed, end * np.array(short.per_seed))) == (
            pytest.approx(0.05)
        )
    assert share_of(long, gain([0.5, -0.4, 0.1]))[1] is None
    assert share_of(gain([0.3]), gain([0.5])) == (pytest.approx(0.6), None)


def test_the_page_holds_the_numbers_and_is_made_from_the_archive_alone(
    runs, write_study, tmp_path, gains
):
    study = Study(write_study(TABLES))
    add_runs(runs, tmp_path / 'archive', VARIANTS)
    results = Results(study, tmp_path / 'archive')
    text = write_report(results, tmp_path / 'report').read_text()
    assert text.startswith('# Tiny study')
    low, high = seed_interval(gains.mean(1).tolist())
    assert f'{gains.mean():+.2f} ({low:+.2f} to {high:+.2f})' in text
    assert f'{low:+.3f} to {high:+.3f}' in text
    assert 'above 3.2 % (n = 8)' in text
    # Holm's correction counts the claim that was not run
    assert f' {2 * p_value(gains.mean(1)):.3f} |' in text
    assert 'Some CPU, PyTorch 2.11.0' in text
    assert '2.000 to 2.000' in text  # the prior loss
    assert 'not trained on the same batches' not in text
    assert (tmp_path / 'report' / 'curves.png').read_bytes().startswith(b'\x89PNG')
    rows = front_table(results, ['kodak24']).splitlines()
    cells = [[cell.strip() for cell in row.split('|')[1:-1]] for row in rows[2:]]
    assert cells[0] == ['no prior', '2.00', '+0%', '+0%', '1', '0']
    assert [row[0] for row in cells] == ['no prior', 'guided']


def test_a_single_seed_has_no_interval(write_study, tmp_path):
    for variant, psnr in (('plain', 22.0), ('guided', 23.5)):
        folder = tmp_path / 'runs' / variant / 'seed0'
        write_record(folder, record(variant, 0, [psnr] * len(KEYS)))
    add_runs(tmp_path / 'runs', tmp_path / 'archive', VARIANTS)
    results = Results(Study(write_study(TABLES)), tmp_path / 'archive')
    assert '+1.50 (one seed)' in write_report(results, tmp_path / 'report').read_text()


def test_results_on_other_images_are_refused(runs, tmp_path):
    odd = record('odd', 0, [22.0] * 24)
    odd['tests']['kodak24']['images'][3]['PSNR-input'] = 19.0
    write_record(runs / 'odd' / 'seed0', odd)
    message = r"Cannot compare odd seed 0 with the other runs on kodak24: .*'photo1/0'"
    with pytest.raises(UserError, match=message):
        add_runs(runs, tmp_path / 'archive', VARIANTS)


def test_other_batches_are_reported(runs, write_study, tmp_path):
    write_record(runs / 'wide' / 'seed0', record('wide', 0, [22.0] * 24, batch='b'))
    add_runs(runs, tmp_path / 'archive', VARIANTS)
    with_shares = TABLES.replace("title='Main'", "title='Main', shares=True")
    results = Results(Study(write_study(with_shares)), tmp_path / 'archive')
    page = write_report(results, tmp_path / 'report')
    assert 'share of the first row' in page.read_text()
    warning = '**These runs were not trained on the same batches as plain: wide seed 0.**'
    assert warning in page.read_text()


def test_an_empty_archive_and_a_damaged_record_end_in_one_sentence(runs, write_study, tmp_path):
    with pytest.raises(UserError, match='has no run of .*study.py; run the study'):
        Results(Study(write_study(TABLES)), tmp_path / 'archive')
    (runs / 'guided' / 'seed0' / 'result.json').write_text('{')
    with pytest.raises(UserError, match="is damaged; delete '.*seed0' and run the variant again"):
        add_runs(runs, tmp_path / 'archive', VARIANTS)
    assert json.loads((runs / 'plain' / 'seed0' / 'result.json').read_text())['seed'] == 0


@pytest.mark.parametrize('name', ['plain_seed0.json', 'images.json'])
def test_a_damaged_archive_is_named(runs, write_study, tmp_path, name):
    add_runs(runs, tmp_path / 'archive', VARIANTS)
    for content in ('{', '[]', '{"other": 1}'):
        (tmp_path / 'archive' / name).write_text(content)
        with pytest.raises(UserError, match=f"'.*{name}' is damaged; delete it and run report.py"):
            Results(Study(write_study(TABLES)), tmp_path / 'archive')
