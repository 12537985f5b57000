"""The doctor says what a device can do, for devices that this machine does not have."""

import itertools
import types

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mmspd.doctor import Section, abilities, machine, render, speed, toolchain
from mmspd.doctor.abilities import ability_lines
from mmspd.doctor.speed import Setting, compared

CUDA = torch.device('cuda', 0)
CPU = torch.device('cpu')
#: How much faster than float32 each format is, unless a test says something else.
FAST = {'bfloat16': 3.0, 'float16': 2.5, 'TF32': 2.0, 'channels-last': 1.5}


@pytest.fixture
def pretend_speed(monkeypatch):
    """Return a function that replaces the measured speeds."""

    def pretend(**speeds):
        def measure(device, changed, plain=None):
            key = changed.precision
            if changed.tf32:
                assert (changed, plain) == (Setting(tf32=True), Setting(tf32=False))
                key = 'TF32'
            if changed.channels_last:
                assert plain == Setting(changed.precision)
                key = 'channels-last'
            return {**FAST, **speeds}[key]

        monkeypatch.setattr(abilities, 'speedup', measure)

    return pretend


@pytest.fixture
def pretend_cuda(monkeypatch, pretend_speed):
    """Return a function that pretends that there are GPUs of a compute capability."""

    def pretend(capability, count=1, **speeds):
        memory = types.SimpleNamespace(name='Test GPU', total_memory=8 * 2**30)
        monkeypatch.setattr(torch.version, 'cuda', '12.8')
        monkeypatch.setattr(torch.cuda, 'device_count', lambda: count)
        monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda device: capability)
        monkeypatch.setattr(torch.cuda, 'get_device_properties', lambda index: memory)
        monkeypatch.setattr('mmengine.device.get_device', lambda: 'cuda')
        for name, value in (('get_device', 'cuda'), ('has_accelerator', True)):
            monkeypatch.setattr(f'mmspd.engine.mixed_precision.{name}', lambda value=value: value)
        pretend_speed(**speeds)

    return pretend


def found_by_name(lines):
    return {line.name.strip(): (line.state, line.found) for line in lines}


def advice_in(lines):
    return [line.advice for line in lines if line.advice]


@pytest.mark.parametrize(
    ('capability', 'bfloat16', 'tf32', 'channels_last', 'amp'),
    [
        (
            (7, 5),
            ('-', 'emulated, and a convolution is 2.0 times slower than in float32'),
            (
                '-',
                'not available; it needs an NVIDIA GPU with compute capability 8.0 or more',
            ),
            'float16',
            'Use --amp and --precision float16 on cuda:0: float16 is native, and a convolution is '
            '2.5 times as fast as in float32. "mmspd doctor --train" measures training.',
        ),
        *[
            (
                capability,
                ('ok', 'native, and a convolution is 3.0 times as fast as in float32'),
                (
                    'ok',
                    'used by the convolutions of training steps; a convolution is 2.0 times as '
                    'fast as without TF32',
                ),
                'bfloat16',
                'Use --amp and --precision bfloat16 on cuda:0: bfloat16 is native, and a '
                'convolution is 3.0 times as fast as in float32. "mmspd doctor --train" measures '
                'training.',
            )
            for capability in ((8, 0), (9, 0))
        ],
    ],
    ids=['7.5', '8.0', '9.0'],
)
def test_gpus_of_each_generation(pretend_cuda, capability, bfloat16, tf32, channels_last, amp):
    pretend_cuda(capability, bfloat16=0.5 if capability < (8, 0) else 3.0)
    lines = ability_lines(CUDA, advise=True)
    found = found_by_name(lines)
    assert found['bfloat16'] == bfloat16
    assert found['float16'] == (
        'ok',
        'native, and a convolution is 2.5 times as fast as in float32',
    )
    assert found['TF32'] == tf32
    assert found['channels-last'] == (
        'ok',
        f'a convolution in {channels_last} is 1.5 times as fast as in contiguous memory',
    )
    assert found['CUDA graphs'][0] == '-'  # PyTorch cannot capture a graph without a GPU
    assert advice_in(lines) == [amp]


def test_a_gpu_of_another_maker_has_no_compute_capability(pretend_cuda, monkeypatch):
    pretend_cuda((9, 4))
    monkeypatch.setattr(torch.version, 'cuda', None)
    assert found_by_name(ability_lines(CUDA, advise=False))['TF32'][0] == '-'
    assert machine._accelerators('cuda')[0].found == 'Test GPU, 8.0 GiB'


def test_each_gpu_is_listed_and_the_first_is_advised(pretend_cuda, monkeypatch):
    pretend_cuda((8, 6), count=2)
    tools = []

    def look(kind, *devices):
        tools.append((kind, *devices))
        return []

    for name in ('compiler_lines', 'link_lines'):
        monkeypatch.setattr(toolchain, name, look)
    monkeypatch.setattr(machine, '_train_one_step', lambda kind: [])
    lines = machine.device_lines()
    names = [line.name for line in lines if not line.name.startswith(' ')]
    assert names == ['cpu', 'cuda:0', 'cuda:1']
    assert lines[names.index('cuda:0') * 6].found == 'Test GPU, 8.0 GiB, compute capability 8.6'
    assert tools == [('cpu',), ('cpu', 1), ('cuda',), ('cuda', 2)]
    advice = advice_in(lines)
    assert [sentence.partition(':')[0] for sentence in advice] == [
        'Use --amp and --precision bfloat16 on cuda'
    ]
    page = render([Section('Devices', lines)])
    assert page.endswith(f'\n\nVerdict: mmspd is ready. {advice[0]}')
    assert not advice_in(machine.device_lines(advise=False))


@pytest.mark.parametrize(
    ('flags', 'ratio', 'state', 'found', 'advice'),
    [
        (
            'amx_bf16',
            1.9,
            'ok',
            'native, and a convolution is 1.9 times as fast as in float32',
            'Use --amp and --precision bfloat16 on cpu: bfloat16 is {}. "mmspd doctor --train" '
            'measures training.',
        ),
        (
            'amx_bf16',
            1.06,
            'ok',
            'native, and a convolution is 1.1 times as fast as in float32',
            'Use float32 on cpu: bfloat16 is {}.',
        ),
        (
            'amx_bf16',
            0.25,
            '-',
            'native, but a convolution is 4.0 times slower than in float32',
            'Do not use --amp or --precision bfloat16 on cpu: bfloat16 is {}.',
        ),
        (
            'avx2',
            0.31,
            '-',
            'emulated, and a convolution is 3.2 times slower than in float32',
            'Do not use --amp or --precision bfloat16 on cpu: bfloat16 is {}.',
        ),
    ],
)
def test_bfloat16_on_processors(
    pretend_processor, pretend_speed, flags, ratio, state, found, advice
):
    warnings = pretend_processor(flags)
    pretend_speed(bfloat16=ratio)
    lines = ability_lines(CPU, advise=True)
    assert found_by_name(lines)['bfloat16'] == (state, found)
    assert found_by_name(lines)['float16'][1].startswith('emulated')
    assert found_by_name(lines)['TF32'][0] == found_by_name(lines)['CUDA graphs'][0] == '-'
    assert advice_in(lines) == [advice.format(found)]
    assert not warnings  # the page says the same


def test_an_ability_that_fails_is_not_a_fault(monkeypatch):
    def fail(*arguments):
        raise RuntimeError('no kernel\nfor it')

    monkeypatch.setattr(abilities, 'speedup', fail)
    lines = ability_lines(CPU, advise=True)
    assert found_by_name(lines)['bfloat16'] == ('-', 'RuntimeError: no kernel for it')
    assert {line.state for line in lines} == {'-'}
    assert not advice_in(lines)


@pytest.mark.slow
@pytest.mark.parametrize(
    'setting',
    [Setting('bfloat16'), Setting('float16'), Setting(channels_last=True), Setting(tf32=True)],
)
def test_a_convolution_is_timed(setting):
    convolution = speed._Convolution(CPU, setting)
    assert convolution._layer.weight.dtype == getattr(torch, setting.precision)
    assert convolution._input.is_contiguous() != setting.channels_last
    before = torch.backends.cudnn.allow_tf32
    assert 0 < convolution.seconds() < 60
    assert torch.backends.cudnn.allow_tf32 == before


@pytest.mark.parametrize(
    ('plain', 'changed', 'ratio', 'rounds'),
    [
        ([0.009, 0.004, 0.005], [0.002, 0.008], 2.0, 20),  # the fastest rounds count
        ([0.1], [0.5], 0.2, 2),  # a second is over
        ([0.1], [2.0], 0.05, 1),
    ],
)
def test_a_comparison_ends_after_a_second(monkeypatch, plain, changed, ratio, rounds):
    counts = dict.fromkeys((Setting(), Setting('bfloat16')), 0)

    class Fake:
        def __init__(self, device, setting):
            self.setting = setting
            times = plain if setting == Setting() else changed
            self.times = itertools.cycle(times)

        def seconds(self):
            counts[self.setting] += 1
            return next(self.times)

    monkeypatch.setattr(speed, '_Convolution', Fake)
    assert speed.speedup(CPU, Setting('bfloat16')) == pytest.approx(ratio)
    assert set(counts.values()) == {rounds}


@pytest.mark.parametrize(
    ('ratio', 'text'),
    [(3.04, '3.0 times as fast as x'), (0.2, '5.0 times slower than x'), (0.96, 'as fast as x')],
)
def test_speeds_are_compared(ratio, text):
    assert compared(ratio, 'x') == text


class FakeGraph(TorchDispatchMode):
    """A CUDA graph on the CPU: it records operations, and runs them again in place."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.calls.append((result, func, args, kwargs or {}))
        return result

    def replay(self):
        for result, func, args, kwargs in self.calls:
            result.copy_(func(*args, **kwargs))


@pytest.mark.slow
@pytest.mark.parametrize(
    ('replay', 'line'),
    [
        (FakeGraph.replay, ('ok', 'captured and replayed')),
        (
            lambda graph: None,
            (
                '-',
                'ArithmeticError: The graph computed [2.0, 2.0, 2.0, 2.0] instead of 6.',
            ),
        ),
    ],
    ids=['right', 'wrong'],
)
def test_graphs_are_replayed(monkeypatch, pretend_speed, replay, line):
    pretend_speed()
    monkeypatch.setattr(FakeGraph, 'replay', replay)
    monkeypatch.setattr(torch.cpu, 'CUDAGraph', FakeGraph, raising=False)
    monkeypatch.setattr(torch.cpu, 'graph', lambda graph: graph, raising=False)
    monkeypatch.setattr(torch.cpu, 'device', torch.device, raising=False)
    assert found_by_name(ability_lines(CPU, advise=False))['CUDA graphs'] == line


def write_compiler(folder, name, script):
    path = folder / name
    path.write_text(f'#!/bin/sh\n{script}\n')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ('kind', 'compiler', 'script', 'line'),
    [
        ('cpu', 'g++', 'exit 0', ('ok', 'g++ can compile')),
        ('cpu', 'gcc', 'exit 0', ('-', 'there is no compiler g++')),
        (
            'cpu',
            'g++',
            'echo "<stdin>:1: fatal error: Python.h: No such file" >&2; exit 1',
            ('-', 'g++ cannot compile (<stdin>:1: fatal error: Python.h: No such file)'),
        ),
        ('cpu', 'g++', 'exit 3', ('-', 'g++ cannot compile (exit code 3)')),
        ('cuda', 'gcc', 'exit 0', ('ok', 'Triton is installed, and gcc can compile')),
        ('cuda', 'clang', 'exit 0', ('ok', 'Triton is installed, and clang can compile')),
        ('cuda', 'g++', 'exit 0', ('-', 'there is no compiler gcc')),
    ],
)
def test_compilers(monkeypatch, tmp_path, kind, compiler, script, line):
    write_compiler(tmp_path, compiler, script)
    monkeypatch.setenv('PATH', str(tmp_path))
    for name in ('CC', 'CXX'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(toolchain.importlib.util, 'find_spec', lambda name: name)
    lines = toolchain.compiler_lines(kind)
    assert found_by_name(lines) == {f'torch.compile on {kind}': line}
    assert ('g++ python3-dev' in lines[0].fix) == (line[0] == '-')


def test_a_compiler_that_a_variable_names(monkeypatch, tmp_path):
    path = write_compiler(tmp_path, 'c++', '[ "$1" = -m64 ]')
    monkeypatch.setenv('CXX', f'{path} -m64')
    assert toolchain.compiler_lines('cpu')[0].found == f'{path} can compile'


def test_a_gpu_needs_triton(monkeypatch):
    monkeypatch.setattr(toolchain.importlib.util, 'find_spec', lambda name: None)
    line = toolchain.compiler_lines('cuda')[0]
    assert (line.state, line.found, line.pip) == (
        '-',
        'Triton is not installed',
        (('install', 'triton'),),
    )


def test_links_between_processes(monkeypatch):
    title = 'gloo, for several processes on cpu'
    assert found_by_name(toolchain.link_lines('cpu', 1)) == {
        title: ('ok', 'a group of one process works')
    }
    assert not torch.distributed.is_initialized()
    with monkeypatch.context() as context:
        context.setattr(toolchain.distributed, 'is_backend_available', lambda name: False)
        assert found_by_name(toolchain.link_lines('cuda', 1)) == {
            'nccl, for several processes on cuda': ('-', 'PyTorch is built without nccl')
        }

    def fail(backend, kind):
        raise RuntimeError('no interface')

    monkeypatch.setattr(toolchain, '_sum_in_group', fail)
    for devices, state in ((1, '-'), (2, 'FAULT')):
        line = toolchain.link_lines('cpu', devices)[0]
        assert (line.state, line.found) == (state, 'RuntimeError: no interface')
        assert 'GLOO_SOCKET_IFNAME' in line.fix
    monkeypatch.setattr(toolchain.distributed, 'is_available', lambda: False)
    assert toolchain.link_lines('cpu', 2)[0].state == '-'
