"""The commands of the study."""

import json

import cv2
import numpy as np
import pytest
from prior_study.record import read_record

from mmspd.datasets import GoProDataset, PairedFolderDataset

pytestmark = pytest.mark.slow

PROJECT = '../projects/prior_study'
EXTENTS = ((0.008, 0.016), (0.016, 0.032), (0.032, 0.064))  # shares of sqrt(H * W)

STUDY = """
epochs = 1
variants = [
    dict(name='net0', base='plain.py'),
    dict(name='broken', base='plain.py', options=dict(model=dict(multi_scale_targets='none'))),
    dict(name='waits', base='plain.py', start_from='broken'),
]
order = [dict(variants=['waits', 'broken', 'net0'], seeds=[0])]
"""


def test_a_study_is_run_listed_repeated_and_reported(run_tool, write_study, tmp_path):
    study, out = write_study(STUDY), tmp_path / 'out'
    code, output = run_tool(PROJECT + '/run.py', study, '--out', out)
    assert code == 1
    assert 'broken seed 0: failed: ' in output
    assert 'net0 seed 0: done, 3 steps' in output
    assert '1 of 3 runs are done; ' in output
    before = read_record(out / 'net0' / 'seed0')

    code, output = run_tool(PROJECT + '/run.py', study, '--out', out, '--only', 'net0')
    assert (code, 'started' in output) == (0, False)
    assert read_record(out / 'net0' / 'seed0') == before
    code, output = run_tool(PROJECT + '/run.py', study, '--out', out, '--list')
    assert 'waits seed 0: not begun' in output
    assert 'Traceback' not in output

    report = tmp_path / 'report'
    code, output = run_tool(PROJECT + '/report.py', study, report)
    assert (code, f"'{report}/runs' has no run of " in output) == (1, True)
    code, output = run_tool(PROJECT + '/report.py', study, report, '--results', out)
    assert (code, 'is the report of 1 runs of 1 variants.' in output) == (0, True)
    page = (report / 'README.md').read_text()
    code, output = run_tool(PROJECT + '/report.py', study, report)  # from the archive alone
    assert (code, (report / 'README.md').read_text()) == (0, page)
    arguments = ['--only', 'net0', '--archive', report / 'runs', '--out', tmp_path / 'other']
    code, output = run_tool(PROJECT + '/run.py', study, *arguments)
    assert (code, 'started' in output) == (0, False)
    assert '1 of 1 runs are done' in output
    code, output = run_tool(PROJECT + '/prior.py', study, out, '--only', 'net0')
    assert (code, 'has no guided generator' in output) == (2, True)


def test_data_has_every_range_of_blur_of_every_photo_and_is_packed(run_tool, pairs_root, tmp_path):
    rng = np.random.default_rng(0)
    for number, shape in enumerate([(120, 80, 3), (80, 120, 3)]):
        for split in ('train', 'val', 'test'):
            path = tmp_path / 'photos' / split / f'{number}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), rng.integers(0, 256, shape, dtype=np.uint8))
    photos, out = tmp_path / 'photos', tmp_path / 'study'
    arguments = ['--train', photos / 'train', '--val', photos / 'val', '--scale', 0.5]
    real = pairs_root / 'val'
    arguments += ['--test', f'odd={photos / "test"}', '--pairs', f'real={real}', f'half={real}@0.5']
    code, output = run_tool(PROJECT + '/data.py', out, *arguments, '--workers', 0)
    assert code == 0, output
    for name, split in (('train', 'train'), ('val', 'test'), ('odd', 'test')):
        dataset = GoProDataset(
            str(out / 'pairs' / name), split=split, packed=str(out / 'packs' / name)
        )
        infos = [dataset.get_data_info(i) for i in range(len(dataset))]
        assert len(infos) == 6
        (records,) = (out / 'pairs' / name).glob('*/records.jsonl')
        extents = [json.loads(line)['extent'] for line in records.read_text().splitlines()]
        for number, extent in enumerate(extents):  # extents below one pixel are raised to one
            low, high = (max(1, share * (40 * 60) ** 0.5) for share in EXTENTS[number % 3])
            assert low <= extent <= high + 0.01
        motion = out / 'pairs' / name / split / infos[0]['key'].split('/')[0] / 'motion'
        assert len([*motion.iterdir()]) == 3
        # portrait photos are turned
        assert {(i['place'].height, i['place'].width) for i in infos} == {(40, 60)}
    real = PairedFolderDataset(str(real), packed=str(out / 'packs' / 'real'))
    assert len(real) == 2
    half = PairedFolderDataset(
        str(out / 'pairs' / 'half'),
        blur_dir='blur',
        sharp_dir='sharp',
        packed=str(out / 'packs' / 'half'),
    )
    full, reduced = (each.get_data_info(0)['place'].images()[0] for each in (real, half))
    expected = cv2.resize(full, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    assert np.array_equal(reduced, expected)

    code, output = run_tool(PROJECT + '/data.py', out, *arguments[:4], '--scale', 2)
    assert (code, '--scale is 2.0; choose a number' in output) == (1, True)
    code, output = run_tool(PROJECT + '/data.py', out, *arguments, '--pairs', f'r={photos}@2')
    assert (code, "The scale '2' of --pairs is not a number above 0" in output) == (1, True)
    code, output = run_tool(
        PROJECT + '/data.py', out, *arguments, '--test', f'val={photos / "test"}'
    )
    assert (code, "Two data sets have the name 'val'" in output) == (1, True)
