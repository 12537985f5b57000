"""No result depends on the batch size of validation and testing."""

import cv2
import pytest
import torch
from samples import photo

from mmspd.errors import UserError
from mmspd.evaluation import Result

SIZES = ((37, 53), (40, 32), (40, 32), (32, 45), (53, 37))  # all batches of 3 are unequal

CONFIG = """
for _loader in (val_dataloader, test_dataloader):
    _loader['batch_size'] = {batch}
    _loader['dataset']['data_root'] = r'{root}'
for _evaluator in (val_evaluator, test_evaluator):
    _evaluator['metrics'] = [dict(type='mmspd.PSNR', report_input=True), dict(type='mmspd.SSIM')]
del _loader, _evaluator
"""
SAVE = """
default_hooks['results'] = dict(type='mmspd.ResultsHook', out_dir=r'{}', save_images=True)
"""
MMAGIC = """
model = dict(
    type='mmagic.BaseEditModel', generator=dict(
        type='mmagic.NAFNet', mid_channels=4, enc_blk_nums=[1], middle_blk_num=1, dec_blk_nums=[1]),
    pixel_loss=dict(type='mmagic.L1Loss'),
    data_preprocessor=dict(type='mmagic.DataPreprocessor', mean=[0.0] * 3, std=[255.0] * 3))
test_dataloader.update(batch_size={batch}, dataset=dict(
    type='mmspd.PhotoFolderDataset', data_root=r'{root}/input',
    pipeline=[dict(type='mmspd.LoadPhoto'), dict(type='mmagic.PackInputs', meta_keys=['key'])]))
test_evaluator['metrics'] = [dict(type='mmspd.BlurEffect')]
"""


@pytest.fixture
def unequal_pairs(tmp_path):
    """A folder of pairs of different sizes."""
    for number, size in enumerate(SIZES):
        for seed, name in enumerate(('input', 'target')):
            (tmp_path / 'data' / name).mkdir(parents=True, exist_ok=True)
            path = str(tmp_path / 'data' / name / f'{number}.png')
            cv2.imwrite(path, photo(*size, seed=10 * number + seed))
    return tmp_path / 'data'


@pytest.mark.slow
def test_metrics_and_written_images_are_equal_for_every_batch_size(
    make_runner, unequal_pairs, tmp_path
):
    results, validated = [], []
    for batch in (1, 3):
        out = tmp_path / f'out{batch}'
        config = CONFIG.format(root=unequal_pairs, batch=batch) + SAVE.format(out)
        torch.manual_seed(0)
        runner = make_runner(config, f'work{batch}')
        runner.test()
        validated.append(runner.val())
        files = sorted((out / 'images').iterdir())
        sizes = [cv2.imread(str(file)).shape[:2] for file in files]
        assert sizes == list(SIZES)
        result = Result.load(out)
        results.append((result.metrics, result.images, [file.read_bytes() for file in files]))
    assert results[0] == results[1]
    assert validated[0] == validated[1]
    assert validated[0] == {name: results[0][0][name] for name in validated[0]}


def test_unequal_training_images_are_refused(make_runner, unequal_pairs):
    runner = make_runner(f"""
train_dataloader['dataset']['data_root'] = r'{unequal_pairs}'
del train_dataloader['dataset']['pipeline'][1:3]
""")
    message = r'The images of a batch have different sizes \(.*pixels\); crop them to one size'
    with pytest.raises(UserError, match=message):
        runner.train()


@pytest.mark.parametrize('loop', ['train', 'val'])
def test_a_pipeline_without_pack_inputs_is_refused(make_runner, loop):
    runner = make_runner(f"del {loop}_dataloader['dataset']['pipeline'][-1]\n")
    with pytest.raises(
        UserError, match=r'no inputs and data_samples; end the pipeline with dict\('
    ):
        getattr(runner, loop)()


def test_padding_by_other_models_is_refused(make_runner, unequal_pairs):
    config = MMAGIC.format(root=unequal_pairs, batch=1)
    assert set(make_runner(config, 'one').test()) == {'blur-effect'}
    with pytest.raises(UserError, match='has images of 2 sizes, and the model has padded them'):
        make_runner(MMAGIC.format(root=unequal_pairs, batch=2), 'two').test()
