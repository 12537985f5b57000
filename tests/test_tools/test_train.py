import json
import re

import cv2
import numpy as np
import pytest
import support
import torch


def test_train_then_test(call_tool, write_config, tmp_path, pairs_root):
    config, work = write_config(support.EMA), tmp_path / 'work'
    code, output, _ = call_tool('train.py', config, '--work-dir', work)
    assert code == 0, output
    assert re.search(r'Epoch\(train\).*eta: .*loss_pix: .*loss_freq: ', output)
    assert re.search(r'Epoch\(val\).*PSNR: ', output)
    last = work / 'epoch_2.pth'
    assert (work / 'last_checkpoint').read_text() == str(last)

    code, output, _ = call_tool(
        'test.py', config, last, '--work-dir', tmp_path / 'test', '--out', tmp_path / 'out'
    )
    assert code == 0, output
    record = json.loads((tmp_path / 'out' / 'result.json').read_text())
    assert record['provenance']['checkpoint']['path'] == str(last)
    # the metric was measured on the saved images
    values = []
    for file in sorted((pairs_root / 'val' / 'target').iterdir()):
        saved = cv2.imread(str(tmp_path / 'out' / 'images' / file.name)).astype(float)
        error = ((saved - cv2.imread(str(file)).astype(float)) ** 2).mean()
        values.append(10 * np.log10(255**2 / error))
    assert record['metrics']['PSNR'] == pytest.approx(np.mean(values), abs=1e-6)


@pytest.mark.slow
def test_resume_from_a_named_checkpoint(run_tool, write_config, tmp_path):
    config, work = write_config(), tmp_path / 'work'
    first = run_tool('train.py', config, '--work-dir', work)
    assert first[0] == 0, first[1]
    code, output = run_tool(
        'train.py', config, '--work-dir', tmp_path / 'other', '--resume', work / 'epoch_1.pth'
    )
    assert code == 0, output
    assert 'resumed epoch: 1, iter: 3' in output
    ends = [
        torch.load(folder / 'epoch_2.pth')['state_dict'] for folder in (work, tmp_path / 'other')
    ]
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])


@pytest.mark.slow
def test_accumulation_and_scaled_rate(run_tool, write_config, tmp_path):
    code, output = run_tool(
        'train.py',
        write_config('auto_scale_lr = dict(base_batch_size=8)'),
        *('--work-dir', tmp_path / 'work', '--auto-scale-lr', '--cfg-options'),
        *('optim_wrapper.accumulative_counts=3', 'train_cfg.max_epochs=1', 'param_scheduler=None'),
    )
    assert code == 0, output
    saved = torch.load(tmp_path / 'work' / 'epoch_1.pth')['optimizer']
    # a batch has 2 images, but the learning rate is for 8; three batches make one step
    assert saved['param_groups'][0]['lr'] == pytest.approx(2e-3 / 4)
    assert {int(state['step']) for state in saved['state'].values()} == {1}


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (['{folder}/tini.py'], r'The config .*/tini.py does not exist; .* names: .*/tiny.py'),
        (['{config}', '--resume', '{folder}/epoch_9.pth'], r'The checkpoint .* does not exist'),
        (['{config}', '--auto-scale-lr'], r'auto_scale_lr=dict\(base_batch_size=...\)'),
        (['{config}', '--cfg-options', 'optim_wraper.type=X'], "similar key: 'optim_wrapper'"),
        (['{config}', '--cfg-options', 'model.generator.type=mmspd.MIMOUnet'], 'mmspd.MIMOUNet'),
        (['{config}', '--cfg-options', 'model.generator.type=MIMOUNett'], 'mmspd.MIMOUNet'),
        (
            ['{config}', '--cfg-options', 'default_hooks.checkpoint.max_keep_ckpts=1'],
            'leaves no checkpoint to fall back to',
        ),
        (
            ['{config}', '--cfg-options', 'default_hooks.checkpoint.intervall=1'],
            "use 'interval' instead",
        ),
        (
            ['{config}', '--cfg-options', 'train_dataloader.dataset.data_root=nowhere'],
            "'nowhere' does not exist",
        ),
    ],
)
def test_a_user_error_is_one_sentence(call_tool, write_config, tmp_path, arguments, sentence):
    config = write_config()
    options = [text.format(folder=tmp_path, config=config) for text in arguments]
    code, _, error = call_tool('train.py', *options, '--work-dir', tmp_path / 'work')
    assert code == 2
    assert re.search('^error: .*' + sentence, error.splitlines()[-1])


def test_an_unknown_metric_for_the_best_checkpoint(call_tool, write_config, tmp_path):
    options = ('--cfg-options', 'default_hooks.checkpoint.save_best=PSRN')
    code, _, error = call_tool(
        'train.py', write_config(), '--work-dir', tmp_path / 'work', *options
    )
    assert code == 1  # it is known after the first validation
    sentence = r"save_best='PSRN' is not among the validation metrics \['PSNR'\]"
    assert re.search('^error: .*' + sentence, error.splitlines()[-1])


@pytest.mark.slow
def test_an_error_in_a_worker_is_one_sentence(run_tool, write_config, tmp_path):
    config = write_config("train_dataloader['dataset']['pipeline'][1]['gt_patch_size'] = 64")
    options = ('--cfg-options', 'train_dataloader.num_workers=1')
    code, output = run_tool('train.py', config, '--work-dir', tmp_path / 'work', *options)
    assert code == 1
    line = output.strip().splitlines()[-1]
    assert re.search(r'^error: .*smaller than the training crop of 64', line), output
    assert 'Traceback' not in line


@pytest.mark.slow
def test_amp_trains_on_the_cpu(run_tool, write_config, tmp_path):
    options = ('--work-dir', tmp_path, '--amp', '--cfg-options', 'train_cfg.max_epochs=1')
    code, output = run_tool('train.py', write_config(base='guided'), *options)
    assert code == 0, output
    assert 'Training in mixed precision (bfloat16).' in output
    weights = torch.load(tmp_path / 'epoch_1.pth')['state_dict']
    assert {weight.dtype for weight in weights.values()} == {torch.float32}


@pytest.mark.slow
@pytest.mark.parametrize(('accumulated', 'reported'), [(1, True), (4, False)])
def test_a_batch_size_that_does_not_fit_the_learning_rate(
    run_tool, write_config, tmp_path, accumulated, reported
):
    config = write_config(
        'auto_scale_lr = dict(base_batch_size=8)\ntrain_cfg["max_epochs"] = 1\n'
        f'optim_wrapper["accumulative_counts"] = {accumulated}\n'
        'val_dataloader = val_evaluator = val_cfg = None\n'
    )
    code, output = run_tool('train.py', config, '--work-dir', tmp_path / 'work')
    assert code == 0, output
    message = (
        'A step has 2 images, but the learning rate is meant for 8; use --auto-scale-lr or a larger'
    )
    assert (message in output) == reported


@pytest.mark.parametrize(
    ('checkpoint', 'sentence'),
    [
        ('{folder}', r'is a folder; .*convert official R'),
        ('https://a.net/DMPHN.pth', r'is not a file; .*convert official R'),
        ('{folder}/epoch_1.pth', 'does not exist'),
    ],
)
def test_test_refuses_invalid_checkpoints(call_tool, write_config, tmp_path, checkpoint, sentence):
    code, _, error = call_tool('test.py', write_config(), checkpoint.format(folder=tmp_path))
    assert code == 2
    assert re.search(f'^error: [Tt]he checkpoint .* {sentence}', error)
