import hashlib
import json
import re
from pathlib import Path

import cv2
import pytest
import torch

from mmspd.evaluation import MetricInfo, Result
from mmspd.evaluation.metrics import psnr

DATASET = """
_base_ = r'{gopro}'
test_dataloader = dict(
    num_workers=0,
    dataset=dict(
        _delete_=True, type='mmspd.PairedFolderDataset', data_root=r'{pairs}/{split}',
        pipeline=_base_.test_dataloader.dataset.pipeline))
"""


@pytest.fixture
def data_files(pairs_root, tmp_path):
    """Files of two data sets, like those in configs/_base_/datasets."""
    gopro = Path(__file__).resolve().parents[2] / 'configs' / '_base_' / 'datasets' / 'gopro.py'
    files = []
    for name, split in (('first', 'train'), ('second', 'val')):
        files.append(tmp_path / f'{name}.py')
        files[-1].write_text(DATASET.format(gopro=gopro, pairs=pairs_root, split=split))
    return files


def test_the_result_has_its_provenance(call_tool, tested, tmp_path):
    config, checkpoint = tested
    code, output, _ = call_tool('test.py', config, checkpoint, '--work-dir', tmp_path / 'work')
    assert code == 0, output
    folders = list((tmp_path / 'work' / 'results' / 'random').iterdir())
    assert [folder.name for folder in folders] == ['val_pairs_input_target-tiny']
    result = Result.load(folders[0])
    provenance = result.provenance
    assert (provenance['protocol'], provenance['dataset']['images']) == ('tiny', 2)
    chosen = [provenance[name] for name in ('self_ensemble', 'tiling', 'window', 'precision')]
    assert chosen == [False, None, None, 'float32']
    assert len(provenance['checkpoint']['sha256']) == 64
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert provenance['checkpoint'] == dict(path=str(checkpoint), sha256=digest)
    assert provenance['weights'] == [dict(path=str(checkpoint), sha256=digest)]
    assert f'The weights {checkpoint} have the SHA-256 {digest}.' in output
    assert provenance['machine']['torch'] == torch.__version__
    assert provenance['versions']['cv2'] == cv2.__version__
    assert not provenance['dataset']['is_official_set']
    assert result.metric_info['PSNR'] == MetricInfo(higher_is_better=True, digits=2, unit='dB')
    assert provenance['pictures'] is None
    assert [Path(image['blurry']).name for image in result.images] == ['00.png', '01.png']
    values = [image['PSNR'] for image in result.images]
    assert result.metrics['PSNR'] == pytest.approx(sum(values) / 2)


@pytest.mark.slow
def test_predictions_can_be_truncated(call_tool, tested, pairs_root, tmp_path):
    results, images = [], []
    for name in ('gopro', 'gopro-truncated'):
        out = tmp_path / name
        options = ('--out', out, '--protocol', name)
        code, output, _ = call_tool('test.py', *tested, *options)
        assert code == 0, output
        results.append(Result.load(out))
        images.append(cv2.imread(str(out / 'images' / '00.png')).astype(int))
    rounded, truncated = (result.provenance for result in results)
    assert (rounded['rounding'], truncated['rounding']) == ('nearest', 'truncate')
    assert truncated['protocol'] == 'gopro-truncated'
    difference = images[0] - images[1]
    assert (difference.min(), difference.max()) == (0, 1)
    sharp = cv2.imread(results[1].images[0]['sharp'])
    assert results[1].images[0]['PSNR'] == pytest.approx(psnr(images[1], sharp))
    code, _, error = call_tool('analysis/compare.py', *(tmp_path / n for n in ('gopro', name)))
    assert code == 2
    assert "protocol is 'gopro' in the first and 'gopro-truncated' in the second" in error
    options = ('--out', tmp_path / 'both', '--protocol', 'gopro', 'gopro-truncated')
    code, _, error = call_tool('test.py', *tested, *options)
    assert code == 1
    assert error.splitlines()[-1].startswith('error: The metrics have different values of rounding')
    images, sharp = tmp_path / 'gopro' / 'images', pairs_root / 'val' / 'target'
    code, _, error = call_tool('analysis/score.py', images, sharp, *options)
    assert code == 2
    assert 'different values of rounding' in error
    assert not (tmp_path / 'both' / 'result.json').exists()


@pytest.mark.slow
def test_two_data_sets_in_one_call_with_all_options(run_tool, tested, data_files, tmp_path):
    config, checkpoint = tested
    out = tmp_path / 'out'
    code, output = run_tool(
        *('test.py', config, checkpoint, '--work-dir', tmp_path / 'work', '--out', out),
        *('--self-ensemble', '--precision=bfloat16', '--channels-last', '--tile=16'),
        *('--test-on', *data_files),
    )
    assert code == 0, output
    assert output.count('Results by blur severity:') == 2
    for name, count in (('first', 6), ('second', 2)):
        result = Result.load(out / name)
        assert len(result.images) == result.provenance['dataset']['images'] == count
        assert result.provenance['self_ensemble']
        assert (result.provenance['precision'], result.provenance['tiling']) == ('bfloat16', 16)
        assert result.provenance['protocol'] == 'gopro'
        assert {'PSNR', 'PSNR-input', 'SSIM-matlab', 'SSIM-2d', 'blur-extent'} <= {*result.metrics}
        assert result.severity['input PSNR'][0]['count'] <= count
        assert '_patches' not in result.images[0]
        assert len(list((out / name / 'images').glob('*.png'))) == count
        assert (out / name / 'severity.png').stat().st_size > 1000
        assert (
            json.loads((out / name / 'result.json').read_text())['provenance'] == result.provenance
        )


@pytest.mark.slow
def test_windows_of_the_config_are_recorded(call_tool, write_config, tested, tmp_path):
    config = write_config("model['test_cfg'] = dict(window=16)", 'windows.py')
    command = ('test.py', config, tested[1], '--work-dir', tmp_path / 'work')
    psnr = []
    for window, options in ((16, ()), (None, ('--window=0',))):
        code, output, _ = call_tool(*command, *options)
        assert code == 0, output
        suffix = f'-window{window}' if window else ''
        name = f'val_pairs_input_target-custom{suffix}'
        result = Result.load(tmp_path / 'work' / 'results' / 'random' / name)
        assert result.provenance['window'] == window
        psnr.append(result.metrics['PSNR'])
    assert psnr[0] != psnr[1]
    code, _, error = call_tool(*command, '--tile=16')
    assert code == 2
    assert 'has both tile=16 and window=16; set window=0 (mmspd test --window 0)' in error


@pytest.mark.slow
def test_only_a_repetition_of_a_test_replaces_its_result(call_tool, tested, tmp_path):
    """Two runs have a checkpoint of the same name and the same default folder."""
    config, checkpoint = tested
    command = ('test.py', config, '--work-dir', tmp_path / 'work')
    folder = tmp_path / 'work' / 'results' / 'random' / 'val_pairs_input_target-tiny'
    for _ in range(2):
        code, output, _ = call_tool(*command, checkpoint)
        assert code == 0, output
    saved = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    other = tmp_path / 'seed1' / checkpoint.name
    other.parent.mkdir()
    weights = torch.load(checkpoint)['state_dict']
    torch.save(dict(state_dict={key: value * 2 for key, value in weights.items()}), other)
    for different, options in (('checkpoint', [other]), ('tiling', [checkpoint, '--tile=16'])):
        code, output, error = call_tool(*command, *options)
        assert code == 1
        assert error.splitlines()[-1] == (
            f"error: '{folder}' holds the result of a test with another {different}; write this "
            'result to another folder with --out, or delete that folder.'
        )
        assert 'Epoch(test)' not in output
    (folder / 'result.json').write_text('{"schema": 1}')
    code, _, error = call_tool(*command, checkpoint)
    assert code == 1
    assert 'holds the result of a test with another version of mmspd; write' in error
    assert {path for path in folder.iterdir() if path.is_file()} == {*saved}


def test_a_test_keeps_the_config_of_the_training_run(call_tool, tested, tmp_path):
    config, checkpoint = tested
    work = tmp_path / 'work'
    work.mkdir()
    (work / 'tiny.py').write_text('# of the training')
    # MMEngine shares the log of runs that start in one process in the same second
    options = ('--work-dir', work, '--cfg-options', 'experiment_name=keeps')
    code, output, _ = call_tool('test.py', config, checkpoint, *options)
    assert code == 0, output
    assert (work / 'tiny.py').read_text() == '# of the training'
    assert {path.name for path in work.iterdir()} == {'tiny.py', 'results'}


@pytest.mark.slow
def test_a_test_writes_to_one_folder(call_tool, tested, tmp_path, monkeypatch):
    config, checkpoint = tested
    monkeypatch.chdir(tmp_path)
    code, output, _ = call_tool('test.py', config, checkpoint, '--out', 'out')
    assert code == 0, output
    assert {path.name for path in tmp_path.iterdir()} - {'tiny.py', 'random.pth'} == {'out'}
    names = {path.name for path in (tmp_path / 'out').iterdir()}
    assert names == {'result.json', 'per_image.csv', 'images', 'log'}
    (log,) = (tmp_path / 'out' / 'log').glob('*/*.log')
    assert 'Epoch(test)' in log.read_text()


def test_missing_data_of_the_last_set_is_an_error_before_the_first_test(
    call_tool, tested, data_files, tmp_path
):
    absent = tmp_path / 'absent.py'
    absent.write_text(data_files[0].read_text().replace('/train', '/nowhere'))
    code, output, error = call_tool('test.py', *tested, '--test-on', data_files[1], absent)
    assert code == 2
    assert re.match("error: [Tt]he data folder '", error.splitlines()[-1])
    assert 'Epoch(test)' not in output


@pytest.mark.slow
def test_options_change_the_final_config(run_tool, tested, tmp_path):
    arguments = ('test.py', *tested, '--out', tmp_path, '--protocol', 'gopro', '--cfg-options')
    code, output = run_tool(*arguments, 'test_evaluator.metrics.0.report_input=False')
    assert code == 0, output
    assert Result.load(tmp_path).provenance['metrics']['metrics'][0]['report_input'] is False
    code, output = run_tool(*arguments, 'test_evaluator.metrics.4.report_input=False')
    assert code == 2
    assert 'error: --cfg-options does not fit ' in output


@pytest.mark.slow
def test_data_sets_joined_into_one(run_tool, write_config, tested, pairs_root, tmp_path):
    config = write_config(
        f"""
        val = test_dataloader['dataset']
        train = dict(val, data_root=r'{pairs_root}/train')
        test_dataloader['dataset'] = dict(type='mmengine.ConcatDataset', datasets=[train, val])
        """,
        'joined.py',
    )
    code, output = run_tool('test.py', config, tested[1])
    assert code == 1
    assert "error: 2 image names occur more than once in the test set (one is '0" in output
    assert 'Epoch(test)' not in output
    code, output = run_tool(
        *('test.py', config, tested[1], '--out', tmp_path / 'out'),
        *('--cfg-options', 'test_dataloader.dataset.datasets.0.indices=-4'),
    )
    assert code == 0, output
    result = Result.load(tmp_path / 'out')
    assert [part['images'] for part in result.provenance['dataset']['parts']] == [4, 2]
    assert [Path(image['blurry']).parts[-3] for image in result.images] == ['train'] * 4 + [
        'val'
    ] * 2


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (
            ['--protocol', 'gopor'],
            r"There is no 'gopor' among the protocols; choose from gopro, gopro_truncated, lpips, ",
        ),
        (['--protocol', 'none.py'], 'The protocols file none.py does not exist'),
        (['--protocol', 'my-own.py'], r'my-own.py is not .*; define my_own_metrics = \[...\]'),
        (['--test-on', 'hidden'], r"There is no 'hidden' among the datasets; choose from "),
        (['--test-on', 'my-own.py'], 'my-own.py has no test_dataloader; inherit it'),
        (['--test-on', 'gopro', 'a/gopro.py'], '--test-on names gopro twice'),
    ],
)
def test_wrong_data_sets_and_protocols(
    call_tool, tested, tmp_path, monkeypatch, arguments, sentence
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'my-own.py').write_text("protocol = 'mine'")
    code, _, error = call_tool('test.py', *tested, *arguments)
    assert code == 2
    assert re.search(f'^error: {sentence}', error)
