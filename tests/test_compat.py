import os
import pickle
import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub

from mmspd import compat
from mmspd.errors import UserError


class Reduced:
    """Pickles as a call that the loader makes when it reads the file."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call

    def __call__(self):
        raise NotImplementedError('pickle requires a callable')


@pytest.mark.slow
def test_import_is_light_and_lets_mmagic_be_imported():
    # Faults of MMagic 1.2.0: its import reads numpy.bool8 and loads mmcv._ext.
    code = (
        'import sys, mmspd\n'
        'heavy = {"mmagic", "mmcv", "diffusers", "transformers", "mmengine.runner", "cv2"}\n'
        'print(sorted(heavy & set(sys.modules)))\n'
        'import mmagic, mmagic.models, mmagic.datasets, mmagic.evaluation\n'
        'print("imported")\n'
        # Another fault of MMagic 1.2.0: its NAFNet breaks the graph of torch.compile.
        'import torch\n'
        'from mmagic.models.editors.nafnet.naf_layerNorm2d import LayerNorm2d\n'
        'norm, x = LayerNorm2d(4), torch.rand(1, 4, 3, 3)\n'
        'compiled = torch.compile(norm, fullgraph=True, backend="eager")\n'
        'print(torch.allclose(compiled(x), norm(x), atol=1e-6))'
    )
    output = subprocess.check_output([sys.executable, '-c', code], text=True)
    assert output.splitlines() == ['[]', 'imported', 'True']


def test_an_imported_nafnet_is_repaired_once(monkeypatch):
    module = ModuleType('naf_layerNorm2d')
    module.LayerNorm2d = type('LayerNorm2d', (), dict(forward=lambda self, x: x + 1))
    monkeypatch.setitem(sys.modules, 'mmagic.models.editors.nafnet.naf_layerNorm2d', module)
    compat.let_nafnet_compile()
    repaired = module.LayerNorm2d.forward
    compat.let_nafnet_compile()
    assert module.LayerNorm2d.forward is repaired
    assert module.LayerNorm2d().forward(1) == 2  # eager execution runs the original


def imported(package):
    return [name for name in sys.modules if name.split('.')[0] == package]


@pytest.fixture
def fake_mmcv(tmp_path, monkeypatch):
    """An mmcv without compiled operators that is not imported yet."""
    package = tmp_path / 'mmcv'
    package.mkdir()
    (package / '__init__.py').touch()
    monkeypatch.syspath_prepend(tmp_path)
    for name in imported('mmcv'):
        monkeypatch.delitem(sys.modules, name)
    yield package
    for name in imported('mmcv'):
        del sys.modules[name]


def test_missing_operators_raise_when_called(fake_mmcv):
    assert compat.add_mmcv_ext_placeholder()
    placeholder = sys.modules['mmcv._ext']
    with pytest.raises(NotImplementedError, match=r'mmcv._ext.nms is not in mmcv-lite; install'):
        placeholder.nms(1, iou_threshold=0.5)
    assert placeholder.__spec__.loader is None  # mmcv reads this to detect missing operators
    assert not hasattr(placeholder, '__path__')


def test_compiled_mmcv_is_not_replaced(fake_mmcv):
    (fake_mmcv / '_ext.py').write_text('def nms(): return "compiled"')
    assert not compat.add_mmcv_ext_placeholder()
    import mmcv._ext

    assert mmcv._ext.nms() == 'compiled'


def test_bool8_is_back_on_numpy_2_only(monkeypatch):
    monkeypatch.delattr(np, 'bool8', raising=False)
    monkeypatch.setattr(np, '__version__', '1.26.4')
    compat.restore_numpy_bool8()
    assert 'bool8' not in vars(np)
    monkeypatch.setattr(np, '__version__', '2.4.6')
    compat.restore_numpy_bool8()
    assert np.bool8 is np.bool_


def test_checkpoint_of_a_runner_can_be_loaded(tmp_path):
    # Fault of MMEngine 0.10.7: resume fails because torch.load is safe by default.
    hub = MessageHub('compat')
    hub.update_scalar('train/loss', 0.5)
    hub.update_scalar('train/loss', 0.25)
    hub.update_info('best_score', np.float32(30.5))
    hub.update_info('counts', np.arange(3))
    weights = torch.nn.Linear(2, 2).state_dict()
    torch.save(dict(message_hub=hub.state_dict(), state_dict=weights), tmp_path / 'a.pth')
    loaded = torch.load(tmp_path / 'a.pth', weights_only=True)
    history = loaded['message_hub']['log_scalars']['train/loss']
    assert (history.current(), history.statistics('mean')) == (0.25, 0.375)
    assert loaded['message_hub']['runtime_info']['best_score'] == 30.5
    assert list(loaded['message_hub']['runtime_info']['counts']) == [0, 1, 2]
    fresh = MessageHub('compat_loaded')
    fresh.load_state_dict(loaded['message_hub'])
    assert fresh.get_scalar('train/loss').current() == 0.25


@pytest.mark.parametrize('core', ['numpy.core', 'numpy._core'])
def test_checkpoints_of_either_numpy_load(tmp_path, core):
    content = pickle.dumps(np.arange(3.0), protocol=2)
    other = 'numpy._core' if b'numpy._core' in content else 'numpy.core'
    # torch.save does not let us choose the module's name; edit the plain pickle of the old format.
    file = tmp_path / 'a.pth'
    torch.save(np.arange(3.0), file, _use_new_zipfile_serialization=False)
    file.write_bytes(file.read_bytes().replace(f'c{other}.'.encode(), f'c{core}.'.encode()))
    assert f'c{core}.'.encode() in file.read_bytes()
    assert list(torch.load(file, weights_only=True)) == [0, 1, 2]


@pytest.mark.parametrize(
    'hostile',
    [
        lambda marker: Reduced(os.system, f'touch {marker}'),
        lambda marker: Reduced(eval, f"open('{marker}', 'w')"),
        lambda marker: Reduced(getattr, np.ndarray, 'tofile'),
        lambda marker: Reduced(getattr, HistoryBuffer, '__init__'),
        lambda marker: Reduced(getattr, HistoryBuffer, '__subclasses__'),
        lambda marker: Reduced(getattr, Reduced(getattr, HistoryBuffer, 'mean'), '__globals__'),
        lambda marker: Reduced(Reduced(getattr, HistoryBuffer, 'mean'), str(marker)),
    ],
    ids=['system', 'eval', 'other-class', 'init', 'subclasses', 'globals', 'call'],
)
def test_hostile_checkpoint_runs_no_code(tmp_path, hostile):
    marker = tmp_path / 'marker'
    torch.save(dict(state_dict={}, message_hub=hostile(marker)), tmp_path / 'hostile.pth')
    from mmengine.runner.checkpoint import _load_checkpoint

    import mmspd.engine  # noqa: F401  (turns the loader's error into a UserError)

    with pytest.raises(UserError, match='it needs .*, which could run code'):
        _load_checkpoint(str(tmp_path / 'hostile.pth'), map_location='cpu')
    assert not marker.exists()
