import os
import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest
from mmengine.config import Config

from mmspd import compat


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


def test_a_config_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / 'config.py'
    Config(dict(a=1)).dump(path)
    assert Config.fromfile(path).a == 1

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr('mmengine.config.config.FormatCode', interrupt)
    with pytest.raises((KeyboardInterrupt, SyntaxError)):
        Config(dict(a=2)).dump(path)
    assert Config.fromfile(path).a == 1
    assert os.listdir(tmp_path) == ['config.py']
