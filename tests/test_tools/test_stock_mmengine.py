"""The stock runner of MMEngine, from an interpreter that has never imported mmspd."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from blurred_pairs import blurred, texture, write

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM = """
from mmengine.config import Config
from mmengine.runner import Runner

config = Config.fromfile('configs/spd/mimounet_sp_gopro.py')
config.merge_from_dict({{
    'work_dir': {work_dir!r},
    'train_cfg.max_epochs': 1,
    'train_cfg.val_interval': 1,
    'train_dataloader.batch_size': 1,
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'train_dataloader.dataset.pipeline.1.gt_patch_size': 64,
    'model.generator.restorer.num_res': 1,
}})
runner = Runner.from_cfg(config)
runner.train()
print('RESULT', runner.test()['PSNR'])
"""


@pytest.fixture
def gopro_root(tmp_path):
    """Two training and twelve validation pairs in the raw GOPRO_Large layout."""
    for split, count in (('train', 2), ('test', 12)):
        folder = tmp_path / 'gopro' / split / 'GOPR0372_07_00'
        for number in range(count):
            sharp = texture(number)[:64, :80]
            write(folder / 'blur' / f'{number:06d}.png', blurred(sharp))
            write(folder / 'sharp' / f'{number:06d}.png', sharp)
    return tmp_path / 'gopro'


@pytest.mark.slow
def test_stock_runner_trains_validates_and_tests(gopro_root, tmp_path):
    environment = dict(os.environ, GOPRO_ROOT=str(gopro_root), MMSPD_TEACHER='random')
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM.format(work_dir=str(tmp_path / 'work'))],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert 10 < float(done.stdout.rpartition('RESULT ')[2]) < 60
    assert (tmp_path / 'work' / 'epoch_1.pth').exists()
