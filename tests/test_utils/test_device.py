import pytest
import torch

from mmspd.utils import device
from mmspd.utils.device import computes_natively, describe_machine

CPU = torch.device('cpu')


def test_machine_is_described():
    machine = describe_machine(CPU)
    assert machine['device'] == 'cpu'
    assert machine['threads'] == torch.get_num_threads()
    assert machine['torch'] == torch.__version__
    assert machine['processor']


@pytest.mark.parametrize(
    ('key', 'flags', 'native'),
    [
        ('flags', 'avx512_vnni', []),
        ('flags', 'avx512_bf16', ['bfloat16']),
        ('flags', 'amx_bf16 amx_fp16', ['bfloat16', 'float16']),
        ('flags', 'avx512_fp16', ['float16']),
        ('Features', 'asimdhp sve', ['float16']),
        ('Features', 'asimdhp bf16', ['bfloat16', 'float16']),
        ('Features', 'svebf16', []),
    ],
)
def test_the_flags_of_the_processor_decide(key, flags, native, pretend_processor):
    pretend_processor(flags, key)
    formats = ('float32', 'bfloat16', 'float16')
    assert [name for name in formats if computes_natively(CPU, name)] == ['float32', *native]
    name = describe_machine(CPU)['processor']
    assert name.startswith('Test 3000')
    assert ('(' in name) == bool(native)


def test_an_unknown_processor_has_no_instructions(monkeypatch, tmp_path):
    monkeypatch.setattr(device, '_CPUINFO', tmp_path / 'absent')
    assert not computes_natively(CPU, 'bfloat16')
    assert describe_machine(CPU)['processor']


@pytest.mark.parametrize(('capability', 'native'), [((7, 5), False), ((8, 0), True)])
def test_old_gpus_emulate_bfloat16(capability, native, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda *_: capability)
    gpu = torch.device('cuda')
    assert computes_natively(gpu, 'bfloat16') == native
    assert computes_natively(gpu, 'float16')
