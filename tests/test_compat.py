import ast
import copy
import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmspd.compat import hooks, lazy_registry, mmagic, mmcv_ops
from mmspd.errors import UserError
from mmspd.registry import MODELS, import_sibling


def run(code):
    """Return the lines that an interpreter prints that has imported nothing yet."""
    strict = ('-W', 'error::FutureWarning', '-W', 'error::UserWarning')
    text = subprocess.check_output([sys.executable, *strict, '-c', code], text=True)
    return text.splitlines()


@pytest.mark.slow
def test_import_is_light_and_lets_parts_of_mmagic_be_imported():
    code = """
import sys, mmspd
print(sorted({'torch', 'numpy', 'mmengine', 'mmagic', 'mmcv', 'cv2'} & set(sys.modules)))
from mmspd.registry import MODELS, TRANSFORMS, import_sibling
import_sibling('mmagic')
print(MODELS.get('mmagic.NAFNet').__name__, TRANSFORMS.get('mmagic.PackInputs').__name__)
import mmagic.evaluation
from mmagic.models import Restormer
print(Restormer is MODELS.get('mmagic.Restormer'), Restormer.__module__)
print([m for m in ('diffusers', 'albumentations', 'pkg_resources') if m in sys.modules])
# a fault of MMagic 1.2.0: its NAFNet breaks the graph of torch.compile
import torch
from mmagic.models.editors.nafnet.naf_layerNorm2d import LayerNorm2d
norm, x = LayerNorm2d(4), torch.rand(1, 4, 3, 3)
compiled = torch.compile(norm, fullgraph=True, backend='eager')
print(torch.allclose(compiled(x), norm(x), atol=1e-6))
"""
    assert run(code) == [
        '[]',
        'NAFNet PackInputs',
        'True mmagic.models.editors.restormer.restormer_net',
        '[]',
        'True',
    ]


def names_of(decorators):
    """Return the names under which the decorators of a class register it, None for its own."""
    for call in decorators:
        if isinstance(call, ast.Call) and getattr(call.func, 'attr', '') == 'register_module':
            values = [*call.args, *(word.value for word in call.keywords if word.arg == 'name')]
            yield values[0].value if values else None


@pytest.mark.slow
@pytest.mark.parametrize('location', ['mmagic.models', 'mmagic.datasets'])
def test_every_type_is_found_where_mmagic_defines_it(location):
    import_sibling('mmagic')
    found = lazy_registry._modules(location)
    root = Path(importlib.import_module(location).__file__).parent
    count = 0
    for path in root.rglob('*.py'):
        module = '.'.join((location, *path.relative_to(root).with_suffix('').parts))
        for node in ast.walk(ast.parse(path.read_text())):
            for name in names_of(getattr(node, 'decorator_list', ())):
                assert found[name or node.name] == module
                count += 1
    assert count > 75


def test_a_misspelled_type_is_not_found():
    import_sibling('mmagic')
    from mmagic.registry import MODELS as MMAGIC_MODELS

    with pytest.raises((KeyError, UserError), match=r'mmagic.NAFNett is not'):
        MODELS.build(dict(type='mmagic.NAFNett'))
    assert 'NAFNet' in MMAGIC_MODELS.known_names


def test_a_part_that_cannot_be_imported_is_named(monkeypatch):
    import_sibling('mmagic')
    monkeypatch.setitem(sys.modules, 'mmagic.models.editors.glean', None)
    with pytest.raises(UserError, match=r'type=mmagic.GLEANStyleGANv2: mmagic.models.editors.gl'):
        MODELS.build(dict(type='mmagic.GLEANStyleGANv2'))


def test_a_program_that_has_imported_mmagic_keeps_it(monkeypatch):
    monkeypatch.setattr(hooks, '_replaced', {})
    monkeypatch.setitem(sys.modules, 'mmagic.models', ModuleType('mmagic.models'))
    mmagic.import_parts_only()
    assert hooks._replaced == {}


@pytest.mark.parametrize(
    ('repair', 'class_name'),
    [
        (mmagic.let_nafnet_compile, 'LayerNorm2d'),
        (mmagic.pool_nafnet_in_float32, 'NAFAvgPool2d'),
    ],
)
def test_an_imported_nafnet_is_repaired_once(repair, class_name):
    module, layer = ModuleType('nafnet'), type(class_name, (), dict(forward=lambda self, x: x + 1))
    setattr(module, class_name, layer)
    repair(module)
    repaired = layer.forward
    repair(module)
    assert layer.forward is repaired
    assert layer().forward(torch.tensor(1.0)) == 2  # eager execution runs the original


class TestLocalPools:
    """The pools of NAFNetLocal; cumulative sums of a large image need more than 16 bits."""

    def pool(self, module=None, fast_imp=False):
        if module is None:
            import_sibling('mmagic')
            module = importlib.import_module('mmagic.models.editors.nafnet.naf_avgpool2d')
        pool = module.NAFAvgPool2d(base_size=(48, 48), fast_imp=fast_imp, train_size=(1, 3, 64, 64))
        pool.kernel_size = [48, 48]
        return pool

    def thin_image(self):
        """A feature map of many columns, around the value 1."""
        return 1 + 0.1 * torch.randn(1, 2, 64, 1024, generator=torch.Generator().manual_seed(0))

    @pytest.mark.parametrize('fast_imp', [False, True])
    @pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
    @pytest.mark.parametrize('autocast', [False, True])
    def test_half_precision_rounds_only_the_result(self, dtype, autocast, fast_imp):
        img, pool = self.thin_image().to(dtype), self.pool(fast_imp=fast_imp)
        with torch.autocast('cpu', dtype, enabled=autocast):
            pooled = pool(img)
        expected = pool(img.double()).to(dtype).double()
        torch.testing.assert_close(pooled.double(), expected, rtol=0, atol=2**-7)  # one step of 2
        assert autocast or pooled.dtype == dtype

    @pytest.mark.parametrize('fast_imp', [False, True])
    @pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
    def test_full_precision_is_that_of_mmagic(self, dtype, fast_imp):
        repaired = importlib.import_module('mmagic.models.editors.nafnet.naf_avgpool2d')
        spec = importlib.util.spec_from_file_location('original_pools', repaired.__file__)
        original = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(original)
        img = self.thin_image().to(dtype)
        expected = self.pool(original, fast_imp)(img)
        got = self.pool(repaired, fast_imp)(img)
        assert got.dtype == dtype
        assert torch.equal(got, expected)


@pytest.mark.slow
@torch.no_grad()
def test_restormer_normalizes_exactly_in_channels_last_memory():
    import_sibling('mmagic')
    module = importlib.import_module('mmagic.models.editors.restormer.restormer_net')
    mmagic.normalize_restormer_exactly(module)  # it is repaired only once
    torch.manual_seed(0)
    attention = module.Attention(dim=4, num_heads=1, bias=False)
    assert len(attention.qkv_dwconv._forward_hooks) == 1
    img = torch.rand(1, 4, 600, 600)
    exact = copy.deepcopy(attention).double()(img.double())
    attention, img = (part.to(memory_format=torch.channels_last) for part in (attention, img))
    error = (attention(img) - exact).abs().max() / exact.abs().max()
    assert error < 2e-6  # 6e-6 without the repair


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
    import mmcv  # noqa: F401

    yield package
    for name in imported('mmcv'):
        del sys.modules[name]


def test_missing_operators_raise_when_called(fake_mmcv):
    assert mmcv_ops.add_ext_placeholder()
    placeholder = sys.modules['mmcv._ext']
    with pytest.raises(NotImplementedError, match=r'mmcv._ext.nms is not in mmcv-lite; install'):
        placeholder.nms(1, iou_threshold=0.5)
    assert placeholder.__spec__.loader is None  # mmcv reads this to detect missing operators
    assert not hasattr(placeholder, '__path__')


def test_compiled_mmcv_is_not_replaced(fake_mmcv):
    (fake_mmcv / '_ext.py').write_text('def nms(): return "compiled"')
    assert not mmcv_ops.add_ext_placeholder()
    import mmcv._ext

    assert mmcv._ext.nms() == 'compiled'


@pytest.mark.skipif(np.__version__ < '2', reason='NumPy 1 computes the alias when it is read')
def test_bool8_is_back_on_numpy_2_only(monkeypatch):
    monkeypatch.delattr(np, 'bool8', raising=False)
    monkeypatch.setattr(np, '__version__', '1.26.4')
    mmagic.restore_numpy_bool8()
    assert 'bool8' not in vars(np)
    monkeypatch.setattr(np, '__version__', '2.4.6')
    mmagic.restore_numpy_bool8()
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
