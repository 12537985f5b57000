import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from samples import photo

from mmspd.apis import inferencer as module
from mmspd.apis.inferencer import DeblurInferencer
from mmspd.apis.jobs import RestoredRecord
from mmspd.errors import UserError

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'spd'


@pytest.fixture(scope='module')
def config():
    config = Config.fromfile(CONFIGS / 'mimounet_sp_gopro.py')
    config.model.generator.restorer.update(base=4, num_res=1)
    extractor = dict(type='mmspd.ConvExtractor', width=4, num_blocks=(1, 1, 1))
    config.model.generator.prior.extractor = extractor
    return config


@pytest.fixture(scope='module')
def inferencer(config):
    torch.manual_seed(0)
    return DeblurInferencer(config, device=torch.device('cpu'))


def direct(inferencer, rgb, gray=False):
    """The network's result for an RGB photo in [0, 255], without the code of the inferencer."""
    img = torch.from_numpy(rgb.transpose(2, 0, 1).astype(np.float32) / 255)[None]
    with torch.no_grad():
        restored = inferencer.model(img)[0].permute(1, 2, 0).numpy() * 255
    return np.clip(restored.mean(2) if gray else restored, 0, 255)


@pytest.fixture
def folder(tmp_path):
    """Three photos; the second one is damaged."""
    root = tmp_path / 'in put'
    (root / 'träin').mkdir(parents=True)
    for number, name in enumerate(('a.png', 'b.png', 'träin/c d.jpg')):
        Image.fromarray(photo(seed=number)).save(root / name)
    (root / 'b.png').write_bytes((root / 'b.png').read_bytes()[:200])
    return root


@pytest.mark.parametrize(
    'shape', [(24, 32, 3), (8, 8, 3), (1, 37, 3), (37, 1, 3), (1, 1, 3), (67, 41, 3)]
)
def test_an_array_of_any_size(inferencer, shape):
    blurry = photo(*shape[:2])
    restored = inferencer(blurry, show_progress=False)['predictions'][0]
    assert restored.dtype == np.uint8
    want = direct(inferencer, blurry)
    assert np.abs(restored - want).max() <= 1  # tiny images are summed in another order
    if min(shape[:2]) > 20:
        assert not np.array_equal(restored, blurry)


def test_arrays_of_any_kind(inferencer):
    rgb = photo()
    gray = rgb[..., 0]
    alpha = photo(seed=1)[..., :1]
    restored = inferencer(
        [gray, np.dstack([rgb, alpha]), np.dstack([gray, alpha]), rgb.astype(np.uint16) * 257]
    )['predictions']
    want = direct(inferencer, np.repeat(gray[..., None], 3, 2), gray=True)
    assert np.abs(restored[0] - want).max() <= 1
    assert np.abs(restored[1][..., :3] - direct(inferencer, rgb)).max() <= 1
    assert np.array_equal(restored[1][..., 3:], alpha)
    assert np.array_equal(restored[2], np.dstack([restored[0], alpha]))
    assert restored[3].dtype == np.uint16
    assert np.abs(restored[3] / 257 - direct(inferencer, rgb)).max() < 1
    assert (restored[3] % 257 != 0).any()


def test_arrays_that_are_not_images(inferencer, tmp_path):
    shapes = ((4, 4, 5), (4,), (0, 4, 3))
    for wrong in (np.zeros((4, 4, 3)), *(np.zeros(shape, np.uint8) for shape in shapes)):
        with pytest.raises(UserError, match='give an image of shape'):
            inferencer(wrong)
    with pytest.raises(UserError, match='Arrays cannot be written to out_dir'):
        inferencer(photo(), tmp_path)


@pytest.mark.filterwarnings('error')
def test_large_photos_give_no_warning(inferencer, folder, monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 500)  # Pillow's error limit is twice as high
    assert inferencer(folder / 'a.png')['predictions'][0].shape == (24, 32, 3)


def test_a_photo_is_returned_or_written(inferencer, folder, tmp_path):
    want = direct(inferencer, photo())
    results = inferencer(folder / 'a.png')
    assert np.abs(results['predictions'][0] - want).max() <= 1
    assert list(tmp_path.iterdir()) == [folder]
    results = inferencer(str(folder / 'a.png'), tmp_path / 'out')
    assert results['predictions'] == [tmp_path / 'out' / 'a.png']
    written = np.asarray(Image.open(tmp_path / 'out' / 'a.png'))
    assert np.abs(written - want).max() <= 1


def test_the_weights_of_a_result_are_recorded(inferencer, config, folder, tmp_path):
    weights = tmp_path / 'epoch_1.pth'
    torch.save({'state_dict': inferencer.model.state_dict()}, weights)
    DeblurInferencer(config, weights, device='cpu')(folder / 'a.png', tmp_path / 'out')
    entry = json.loads((tmp_path / 'out' / RestoredRecord.NAME).read_text())
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert entry['weights'] == [dict(path=str(weights), sha256=digest)]
    # the record only describes: other files with the same weights give the same results
    copy = weights.rename(tmp_path / 'copy.pth')
    results = DeblurInferencer(config, copy, device='cpu')(folder / 'a.png', tmp_path / 'out')
    assert results['skipped'] == [folder / 'a.png']


def test_a_folder_is_finished_after_a_bad_photo(inferencer, folder, tmp_path, capsys):
    out = tmp_path / 'out'
    results = inferencer(folder, out, recursive=True)
    assert results['sources'] == [folder / name for name in ('a.png', 'b.png', 'träin/c d.jpg')]
    assert results['predictions'] == [out / 'a.png', None, out / 'träin/c d.jpg']
    assert all(Image.open(path).size == (32, 24) for path in results['predictions'] if path)
    assert list(results['failures']) == [str(folder / 'b.png')]
    assert "b.png' is damaged" in results['failures'][str(folder / 'b.png')]
    assert '3/3 c d.jpg' in capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == ['a.png', RestoredRecord.NAME, 'träin']


def test_one_bad_photo_is_an_error(inferencer, folder):
    with pytest.raises(UserError, match=r"b.png' is damaged"):
        inferencer(folder / 'b.png')


def test_an_interrupted_run_continues(inferencer, folder, tmp_path, monkeypatch):
    (folder / 'b.png').unlink()
    out = tmp_path / 'out'

    def interrupted(*_, **__):
        if (out / 'a.png').exists():
            raise KeyboardInterrupt
        return restore(*_, **__)

    restore = module.restore_images
    monkeypatch.setattr(module, 'restore_images', interrupted)
    with pytest.raises(KeyboardInterrupt):
        inferencer(folder, out, recursive=True)
    assert sorted(path.name for path in out.iterdir()) == ['a.png', RestoredRecord.NAME]
    made = (out / 'a.png').stat().st_mtime_ns
    monkeypatch.undo()
    results = inferencer(folder, out, recursive=True)
    assert results['skipped'] == [folder / 'a.png']
    assert (out / 'a.png').stat().st_mtime_ns == made
    assert (out / 'träin/c d.jpg').exists()
    results = inferencer(folder, out, recursive=True, overwrite=True)
    assert results['skipped'] == []
    assert (out / 'a.png').stat().st_mtime_ns > made


def test_results_of_other_settings_or_weights_are_kept(inferencer, config, folder, tmp_path):
    out = tmp_path / 'out'
    inferencer(folder / 'a.png', out)
    assert inferencer(folder / 'a.png', out, memory_budget=10**9, batch=2)['skipped']
    with pytest.raises(UserError, match=r"a.png' exists and was made with another model or settin"):
        inferencer(folder / 'a.png', out, self_ensemble=True)
    torch.manual_seed(1)
    with pytest.raises(UserError, match='was made with another model or settings'):
        DeblurInferencer(config, device='cpu')(folder / 'a.png', out)


def test_lack_of_memory_is_a_user_error(inferencer, monkeypatch):
    def full(*_, **__):
        raise RuntimeError('DefaultCPUAllocator: not enough memory: you tried to allocate')

    monkeypatch.setattr(module, 'restore_images', full)
    with pytest.raises(UserError, match='32x24 pixels need more memory than is available'):
        inferencer(photo())


def test_progress_counts_every_pixel_once(inferencer):
    reported = []
    inferencer.deblur(photo(200, 150), module.RestoreOptions(tile=64), reported.append)
    assert len(reported) > 4
    assert sum(reported) == 200 * 150


def test_the_window_of_a_config_is_the_side_of_automatic_tiles(config, folder, tmp_path):
    windows = config.copy()
    windows.model = dict(config.model, test_cfg=dict(window=64))
    torch.manual_seed(0)
    restorer = DeblurInferencer(windows, device='cpu')
    blurry = photo(96, 112)
    restored, tiled, whole = (
        restorer.deblur(blurry, module.RestoreOptions(tile=tile)) for tile in ('auto', 64, 0)
    )
    assert np.array_equal(restored, tiled)
    assert not np.array_equal(restored, whole)
    restorer(folder / 'a.png', tmp_path / 'out')
    assert restorer(folder / 'a.png', tmp_path / 'out', tile=64)['skipped']


def test_configs_by_name():
    model = DeblurInferencer('quickstart', device='cpu').model
    assert model.generator.multiple == 8
    with pytest.raises(UserError, match=r'mimounet_sp.py does not exist.*similar names: .*_gopro'):
        DeblurInferencer('mimounet_sp')
    with pytest.raises(UserError, match=r'The config nowhere/a.py does not exist'):
        DeblurInferencer('nowhere/a.py')


def test_compiled(inferencer, config, monkeypatch):
    options = []
    monkeypatch.setattr(torch, 'compile', lambda run, **how: options.append(how) or run)
    torch.manual_seed(0)
    compiled = DeblurInferencer(config, device='cpu', compile=True)
    restored = compiled(photo(72, 48))['predictions'][0]
    assert np.abs(restored - direct(inferencer, photo(72, 48))).max() <= 1
    assert options == [dict(dynamic=False, mode=None)]


def test_convolutions_run_in_channels_last(inferencer):
    layouts = []
    layer = inferencer.model.generator.restorer.Encoder[0]
    hook = layer.register_forward_hook(lambda _, args, out: layouts.append(out.stride(1)))
    inferencer.deblur(photo())
    hook.remove()
    assert layouts[-1] == 1


@pytest.mark.parametrize(
    ('free', 'budget', 'where'),
    [
        (16 * 24 * 1000, None, 'cuda'),
        (16 * 24 * 1000 - 1, None, 'cpu'),
        (0, 16 * 24 * 1000, 'cuda'),
        (10**12, 16 * 24 * 1000 - 1, 'cpu'),
    ],
)
def test_an_accelerator_with_room_holds_the_image(inferencer, monkeypatch, free, budget, where):
    """It is the quicker place for the steps around the network; its tiles need the rest."""
    assert inferencer._place(10**9, None).type == 'cpu'
    monkeypatch.setattr(inferencer._network, 'device', torch.device('cuda'))
    monkeypatch.setattr(module, 'free_memory', lambda device: free)
    assert inferencer._place(1000, budget).type == where


@pytest.mark.parametrize('device', ['nonsense', 'cuda:99'])
def test_devices_that_do_not_exist(config, device):
    with pytest.raises(UserError, match=f"The device '{device}' cannot be used"):
        DeblurInferencer(config, device=device)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (float('nan'), 'has values that are not finite; check'),
        (3.0, r'is far from its input \(a local mean changed by 3.00 of the full range\); check'),
        (None, None),  # one bright column
    ],
)
def test_an_implausible_result_gives_a_warning(change, message, monkeypatch):
    warnings = []
    monkeypatch.setattr(module, 'print_log', lambda text, *_: warnings.append(text))
    image = torch.zeros(1, 3, 128, 192)
    restored = image.clone()
    if change is None:
        restored[..., -1:] += 1
    else:
        restored += change
    module._warn_of_implausible(image, restored)
    assert bool(warnings) == (message is not None)
    assert message is None or re.search(message, warnings[0])
