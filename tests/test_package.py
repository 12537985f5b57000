"""What a user gets who installs mmspd without a clone."""

import os
import shutil
import site
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
#: Everything in a clone but the folders that commands write to.
WRITTEN = ('.*', 'work_dirs', 'data', 'checkpoints', 'build', 'dist', '*.egg-info', '__pycache__')
pytestmark = pytest.mark.slow


def run(*command, env=None, **options):
    # pip must not take the checkout for an installed mmspd
    outside = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    done = subprocess.run(
        [*map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        env=env or outside,
        **options,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope='module')
def archives(tmp_path_factory):
    """The source archive, and the wheel that is built from it."""
    pytest.importorskip('build')
    root = tmp_path_factory.mktemp('package')
    ignored = shutil.ignore_patterns(*WRITTEN)
    shutil.copytree(ROOT, root / 'source', symlinks=True, ignore=ignored)
    shutil.copytree(ROOT / 'mmspd' / '.mim', root / 'source' / 'mmspd' / '.mim', symlinks=True)
    run(sys.executable, '-m', 'build', '-n', '-o', root / 'dist', root / 'source')
    return next(root.glob('dist/*.tar.gz')), next(root.glob('dist/*.whl'))


@pytest.fixture(scope='module')
def user(archives, tmp_path_factory):
    """The environment of a user: the wheel, and the other packages of this environment."""
    home = tmp_path_factory.mktemp('user')
    venv.create(home / 'venv', symlinks=True, with_pip=False)
    python = home / 'venv' / 'bin' / 'python'
    run(sys.executable, '-m', 'pip', '--python', python, 'install', '--no-deps', archives[1])
    packages = run(python, '-c', 'import site; print(site.getsitepackages()[0])').strip()
    # with the .pth files of the other packages: setuptools has one that provides distutils
    lines = [f'import site; site.addsitedir({folder!r})' for folder in site.getsitepackages()]
    Path(packages, 'others.pth').write_text('\n'.join(lines))

    def call(*command, **environment):
        path = f'{python.parent}{os.pathsep}{os.environ["PATH"]}'
        variables = dict(PATH=path, HOME=str(home), OMP_NUM_THREADS='1', **environment)
        return run(*command, cwd=home, env=variables)

    return home, call


def write_pairs(root):
    """Write two pairs for training and one for tests."""
    rng = np.random.default_rng(0)
    for name in ('train/{}/a.png', 'train/{}/b.png', 'test/{}/c.png'):
        sharp = cv2.resize(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), (64, 64))
        for kind, image in (('input', cv2.blur(sharp, (7, 1))), ('target', sharp)):
            path = root / name.format(kind)
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), image)


def test_archives_have_everything(archives):
    with tarfile.open(archives[0]) as source:
        files = {name.partition('/')[2] for name in source.getnames()}
    assert {'configs/spd/unet_gopro.py', 'tests/test_package.py', 'LICENSE', 'setup.py'} <= files
    with zipfile.ZipFile(archives[1]) as wheel:
        names = wheel.namelist()
        text = wheel.read(next(name for name in names if name.endswith('METADATA'))).decode()
    folders = {name.partition('/')[0] for name in names}
    assert len(folders) == 2  # mmspd and mmspd-*.dist-info
    for folder in ('configs', 'tools'):
        own = {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob('*.py')}
        assert own == {
            name[11:]
            for name in names
            if name.startswith(f'mmspd/.mim/{folder}/') and '.py' in name
        }
    assert {'mmspd/.mim/model-index.yml', 'mmspd/py.typed'} <= set(names)
    assert 'Name: mmspd' in text
    assert '# mmspd' in text  # the long description
    assert 'Requires-Dist: mmengine' in text
    assert 'Requires-Dist: mmagic' not in text


def test_commands_of_an_installed_mmspd(user):
    home, call = user
    assert call('mmspd', '--version').startswith('mmspd 0')
    write_pairs(home / 'pairs')
    call(
        *('mmspd', 'train', 'mmspd::own_data/mimounet_pairs.py', '--work-dir', 'run'),
        *('--cfg-options', 'train_cfg.max_epochs=1', 'train_cfg.val_interval=1'),
        *('train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False'),
        *('val_dataloader.num_workers=0', 'val_dataloader.persistent_workers=False'),
        *('train_dataloader.batch_size=2', 'train_dataloader.dataset.pipeline.1.gt_patch_size=32'),
        *('model.generator.base=4', 'model.generator.num_res=1'),
        PAIRS_ROOT='pairs',
    )
    config, checkpoint = home / 'run' / 'mimounet_pairs.py', home / 'run' / 'epoch_1.pth'
    blurry = home / 'pairs' / 'test' / 'input' / 'c.png'
    call('mmspd', 'deblur', config, checkpoint, blurry, '--out-dir', 'out', PAIRS_ROOT='pairs')
    assert cv2.imread(str(home / 'out' / 'c.png')).shape == (64, 64, 3)


def test_python_interface_of_an_installed_mmspd(user):
    home, call = user
    (home / 'own.py').write_text("_base_ = 'mmspd::spd/unet_gopro.py'\n")
    code = """
import torch
from mmspd.apis import DeblurInferencer
from mmengine.config import Config
from mmengine.hub import get_config, get_model
from mmspd.registry import build_model
import mmspd

assert '/venv/' in mmspd.__file__
own = Config.fromfile('own.py')
whole = Config.fromfile('mmspd::spd/unet_gopro.py')
assert get_config('mmspd::spd/unet_gopro.py').model == whole.model
model = get_model('mmspd::spd/unet_gopro.py')
torch.save(dict(state_dict=model.state_dict()), 'random.pth')
assert build_model(own.model).state_dict().keys() == model.state_dict().keys()
DeblurInferencer('unet_gopro', 'random.pth', device='cpu')('pairs/test/input', out_dir='sharp')
"""
    write_pairs(home / 'pairs')
    call('python', '-c', code)
    assert cv2.imread(str(home / 'sharp' / 'c.png')).shape == (64, 64, 3)
