"""The report of a study, made from records with known numbers."""

import numpy as np
import pytest
from prior_study.record import write_record
from prior_study.report import load_records, paired_gain, write_report

from mmspd.errors import UserError
from mmspd.evaluation.comparison import bootstrap_interval

SEVERITIES = ('mild', 'moderate', 'severe')
KEYS = [f'photo{photo}/{copy}' for photo in range(8) for copy in range(3)]


def record(variant, seed, psnr, status='done', batch='a'):
    images = [
        {
            'key': key,
            'PSNR': value,
            'PSNR-input': 20.0,
            'SSIM-2d': 0.5,
            'severity': SEVERITIES[int(key[-1])],
        }
        for key, value in zip(KEYS, psnr)
    ]
    metrics = {'PSNR': float(np.mean(psnr)), 'SSIM-2d': 0.5, 'PSNR-input': 20.0}
    return dict(
        study='s',
        variant=variant,
        seed=seed,
        status=status,
        about=f'the {variant}',
        parameters=500_000,
        macs=2_000_000_000,
        batches=[f'{batch}{seed}'],
        epochs=[dict(epoch=1, step=50, seconds=30.0, loss_prior=2.0)],
        curve=[dict(epoch=1, step=50, PSNR=21.0 + seed), dict(epoch=2, step=100, PSNR=22.0)],
        tests=dict(kodak=dict(metrics=metrics, images=images)),
    )


@pytest.fixture
def results(tmp_path):
    """Write runs of net0 and net6.

    With seed s, net6 is better than net0 by 1 + s dB, and on severe blur by 4 + s dB.
    """
    rng = np.random.default_rng(0)
    for seed in (0, 1):
        plain = 22 + rng.random(len(KEYS))
        guided = plain + 1 + seed + np.array([3.0 * key.endswith('2') for key in KEYS])
        for variant, psnr in (('net0', plain), ('net6', guided)):
            write_record(tmp_path / variant / f'seed{seed}', record(variant, seed, psnr))
    write_record(tmp_path / 'net6' / 'seed2', record('net6', 2, plain))
    write_record(tmp_path / 'net5' / 'seed0', record('net5', 0, plain, status='stopped'))
    return tmp_path


def test_gains_are_paired_by_seed_and_image(results):
    records = load_records(results, ['net0'])
    gain = paired_gain(records['net0'], records['net6'], 'kodak')
    assert gain.seeds == 2  # the third seed of net6 has no partner
    assert gain.mean == pytest.approx(2.5)
    assert gain.std == pytest.approx(2**-0.5)
    per_image = np.array([1.5 + 3 * key.endswith('2') for key in KEYS])
    photos = [key.split('/')[0] for key in KEYS]
    assert gain.interval == pytest.approx(bootstrap_interval(per_image, photos))
    severe = [key for key in KEYS if key.endswith('2')]
    assert paired_gain(records['net0'], records['net6'], 'kodak', severe).mean == pytest.approx(4.5)
    assert paired_gain({3: {}}, records['net6'], 'kodak') is None


def test_the_page_holds_the_numbers_and_the_plots(results, tmp_path):
    records = load_records(results, ['net0'])
    assert list(records) == ['net0', 'net6']  # net5 is not done
    page = write_report(records, tmp_path / 'report', ['net0'])
    text = page.read_text()
    assert '24 images. The PSNR of the blurry images is 20.00 dB.' in text
    assert '+2.500 ± 0.707' in text
    assert 'severe (n = 8)' in text
    assert '+4.500 ± 0.707' in text
    assert '2.0000 to 2.0000' in text
    assert 'not trained on the same batches' not in text
    for name in ('curves.png', 'severity_kodak.png'):
        assert f'({name})' in text
        assert (page.parent / name).read_bytes().startswith(b'\x89PNG')


def test_a_report_with_two_references(results, tmp_path):
    write_record(results / 'wide' / 'seed0', record('wide', 0, [23.0] * 24))
    records = load_records(results, ['net0', 'wide'])
    assert list(records) == ['net0', 'wide', 'net6']
    assert list(load_records(results, ['net0', 'wide'], only=True)) == ['net0', 'wide']
    text = write_report(records, tmp_path / 'report', ['net0', 'wide']).read_text()
    tables = [line.split('|') for line in text.splitlines() if line.startswith('|')]
    header = next(cells for cells in tables if cells[2].strip() == 'PSNR')
    column = next(i for i, cell in enumerate(header) if 'gain over wide' in cell)
    gain = paired_gain(records['wide'], records['net6'], 'kodak')
    cells = [cells[column].strip() for cells in tables if len(cells) == len(header)]
    assert cells[2:] == [cells[2], '-', f'{gain.mean:+.3f}']
    assert sum('gain over' in cells[1] for cells in tables) == 2  # the tables by severity


def test_results_on_other_images_are_refused(results, tmp_path):
    odd = record('odd', 0, [22.0] * 24)
    odd['tests']['kodak']['images'][3]['PSNR-input'] = 19.0
    write_record(results / 'odd' / 'seed0', odd)
    message = r"Cannot compare net0 seed 0 and odd seed 0 on kodak: .*'photo1/0'"
    with pytest.raises(UserError, match=message):
        write_report(load_records(results, ['net0']), tmp_path / 'report', ['net0'])


def test_other_batches_are_reported(results, tmp_path):
    write_record(results / 'odd' / 'seed0', record('odd', 0, [22.0] * 24, batch='b'))
    page = write_report(load_records(results, ['net0']), tmp_path / 'report', ['net0'])
    warning = '**These runs were not trained on the same batches as net0: odd seed 0.**'
    assert warning in page.read_text()


def test_a_missing_reference_and_a_damaged_record_end_in_one_sentence(results):
    with pytest.raises(UserError, match=r"no result of 'net7' \(it holds net0, net6"):
        load_records(results, ['net0', 'net7'])
    (results / 'net6' / 'seed0' / 'result.json').write_text('{')
    with pytest.raises(UserError, match="is damaged; delete '.*seed0' and run the variant again"):
        load_records(results, ['net0'])
