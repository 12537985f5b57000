"""The commands of the study."""

import cv2
import numpy as np
import pytest
from prior_study.record import read_record

from mmspd.datasets import GoProDataset, PairedFolderDataset

pytestmark = pytest.mark.slow

PROJECT = '../projects/prior_study'

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

    code, output = run_tool(PROJECT + '/report.py', out, '--out', tmp_path / 'report')
    assert (code, 'is the report of 1 runs of 1 variants.' in output) == (0, True)
    assert (tmp_path / 'report' / 'README.md').is_file()
    code, output = run_tool(
        PROJECT + '/report.py', out, '--out', tmp_path / 'report', '--only', 'net9'
    )
    assert (code, "has no result of 'net9' (it holds net0)" in output) == (1, True)
    code, output = run_tool(PROJECT + '/prior.py', study, out, '--only', 'net0')
    assert (code, 'has no guided generator' in output) == (2, True)


def test_data_has_every_severity_of_every_photo_and_is_packed(run_tool, pairs_root, tmp_path):
    rng = np.random.default_rng(0)
    for number, shape in enumerate([(120, 80, 3), (80, 120, 3)]):
        for split in ('train', 'val', 'test'):
            path = tmp_path / 'photos' / split / f'{number}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), rng.integers(0, 256, shape, dtype=np.uint8))
    photos, out = tmp_path / 'photos', tmp_path / 'study'
    arguments = ['--train', photos / 'train', '--val', photos / 'val', '--scale', 0.5]
    arguments += ['--test', f'odd={photos / "test"}', '--pairs', f'real={pairs_root / "val"}']
    code, output = run_tool(PROJECT + '/data.py', out, *arguments, '--workers', 0)
    assert code == 0, output
    for name, split in (('train', 'train'), ('val', 'test'), ('odd', 'test')):
        dataset = GoProDataset(
            str(out / 'pairs' / name), split=split, packed=str(out / 'packs' / name)
        )
        infos = [dataset.get_data_info(i) for i in range(len(dataset))]
        assert [info['severity'] for info in infos] == ['mild', 'moderate', 'severe'] * 2
        # portrait photos are turned
        assert {(i['place'].height, i['place'].width) for i in infos} == {(40, 60)}
    real = PairedFolderDataset(str(pairs_root / 'val'), packed=str(out / 'packs' / 'real'))
    assert len(real) == 2

    code, output = run_tool(PROJECT + '/data.py', out, *arguments[:4], '--scale', 2)
    assert (code, '--scale is 2.0; choose a number' in output) == (1, True)
    code, output = run_tool(
        PROJECT + '/data.py', out, *arguments, '--test', f'val={photos / "test"}'
    )
    assert (code, "Two data sets have the name 'val'" in output) == (1, True)
