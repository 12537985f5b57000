"""The suite of benchmarks: its time box, its table and its page."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from measure import clock_for
from mmengine.config import Config
from support import load_tool
from training_step import loader_batch

from mmspd.errors import UserError

CPU = torch.device('cpu')
MACHINE = dict(device='cpu', processor='Test 3000', cores=2, threads=1, python='3', torch='2')
#: A benchmark that writes its results, and then does what its first argument says.
STUB = """
import json, pathlib, subprocess, sys, tempfile, time
if sys.argv[1] != 'fail':
    record = dict(command='python stub.py', date='today', machine={machine}, load=1.5,
                  versions=dict(mmspd='1'), results={results})
    pathlib.Path(sys.argv[sys.argv.index('--json') + 1]).write_text(json.dumps(record))
if sys.argv[1] == 'fail':
    sys.exit('error: no luck.')
if sys.argv[1] == 'hang':
    tempfile.mkdtemp()
    child = subprocess.Popen(['sleep', '60'])
    pathlib.Path(sys.argv[2]).write_text(str(child.pid))
    child.wait()
"""
CEILINGS = dict(
    copy=dict(best=10.0, spread=dict(median=9.0, low=8.0, high=9.5)),
    matrix_product={
        name: dict(best=best, spread=dict(median=best, low=best, high=best))
        for name, best in (('float32', 0.2), ('bfloat16', 0.8))
    },
    side=2048,
)


def spread(value):
    return dict(median=value, low=value, high=value)


@pytest.fixture
def suite(monkeypatch, tmp_path):
    """The suite with stubs of the benchmarks."""
    suite = load_tool('benchmark/suite.py')
    for name in ('ceilings', 'data_loading'):
        text = STUB.format(machine=MACHINE, results=CEILINGS)
        (tmp_path / f'{name}.py').write_text(text)
    monkeypatch.setattr(suite, 'HERE', tmp_path)
    return suite


def parts_of(suite, *rows):
    return [suite.Part(name, name.title(), 'ceilings', text, usual) for name, text, usual in rows]


def exists(pid):
    """Whether a process runs; a zombie does not."""
    path = Path(f'/proc/{pid}/stat')
    return path.is_file() and path.read_text().rpartition(')')[2].split()[0] != 'Z'


@pytest.mark.slow
def test_the_time_box_holds_and_the_other_parts_go_on(suite, tmp_path, capsys, monkeypatch):
    out, pid = tmp_path / 'out', tmp_path / 'pid'
    (tmp_path / 'temporary').mkdir()
    monkeypatch.setenv('TMPDIR', str(tmp_path / 'temporary'))
    out.mkdir()
    (out / 'third.json').write_text('of an earlier run')
    parts = parts_of(
        suite,
        ('first', 'fail', 0.1),
        ('second', f'hang {pid}', 0.3),
        ('third', 'work', 9),
        ('fourth', 'work', 0.1),
    )
    monkeypatch.setattr(suite, 'PATIENCE', 5)
    monkeypatch.setitem(suite.PARTS, 'cpu', parts)
    start = time.monotonic()
    with pytest.raises(UserError, match=r'These parts failed: first, second; read their logs in'):
        suite.main(['--minutes', '0.1', '--device', 'cpu', '--out', str(out)])
    assert time.monotonic() - start < 6
    assert not exists(int(pid.read_text()))
    assert not os.listdir(tmp_path / 'temporary')
    states = json.loads((out / 'suite.json').read_text())['parts']
    assert [(state['state'], state['reason'].split(',')[0]) for state in states] == [
        ('failed', 'error: no luck.'),
        ('incomplete', 'stopped after 2 s'),
        ('left out', 'it usually takes 9 s'),
        ('measured', ''),
    ]
    output = capsys.readouterr().out
    assert 'second: incomplete (stopped after 2 s)' in output
    page = (out / 'performance.md').read_text()
    assert [line for line in page.split('\n') if line.startswith('###')] == [
        *('### All measurements', '### Second', '### Fourth', '### Commands and machine'),
    ]
    assert '`python ' in page
    assert 'no luck' in page


@pytest.mark.slow
def test_results_are_written_after_each_part(suite, tmp_path):
    parts = iter(parts_of(suite, ('first', 'work', 1), ('second', 'work', 1)))

    def cut_off():
        yield next(parts)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        suite.run_parts(cut_off(), tmp_path, 'cpu', 1)
    assert '### First' in (tmp_path / 'performance.md').read_text()
    assert len(json.loads((tmp_path / 'suite.json').read_text())['parts']) == 1


def test_the_parts_are_in_order_of_value():
    parts = load_tool('benchmark/suite.py').PARTS
    for device, least in (('cpu', 6), ('cuda', 6)):
        tools = list(dict.fromkeys(part.tool for part in parts[device]))
        assert tools == [
            *('ceilings', 'train_step', 'inference', 'overhead', 'data_loading'),
            *('blur_synthesis', 'training_run'),
        ]
        assert len({part.name for part in parts[device]}) == len(parts[device]) > least
        # the last part, a compilation, may be left out
        assert sum(part.seconds for part in parts[device][:-1]) < 8 * 60
        for part in parts[device]:
            tool = load_tool(f'benchmark/{part.tool}.py')
            assert tool.parse_args(part.arguments.split())


@pytest.mark.slow
def test_the_suite_measures_this_machine(tmp_path, capsys, monkeypatch):
    suite = load_tool('benchmark/suite.py')
    quick = [part._replace(arguments='--rounds 1') for part in suite.PARTS['cpu'][:1]]
    monkeypatch.setitem(suite.PARTS, 'cpu', [*quick, *suite.PARTS['cpu'][1:]])
    suite.main(['--minutes', '0.25', '--device', 'cpu', '--out', str(tmp_path)])
    output = capsys.readouterr().out
    assert output.count(': left out (it usually takes') == len(suite.PARTS['cpu']) - 1
    (row,) = (line for line in output.split('\n') if line.startswith('| matrix product, bf'))
    cells = [cell.strip() for cell in row.split('|')]
    assert cells[7] == '100 %'
    assert f'torch {torch.__version__}' in cells[9]
    assert cells[10] == '[1]'
    assert '[1] python tools/benchmark/ceilings.py --rounds 1 --json' in output


@pytest.fixture
def report():
    return load_tool('benchmark/report.py')


def test_speeds_are_shares_of_the_ceilings(report, tmp_path):
    step = {'ms': 500.0, 'images/s': 2.0, 'peak MiB': 10.0}
    fast = {**step, 'ms': spread(250.0), 'reference / it': spread(2.0), 'held MiB': 5.0}
    fast.update({'losses off': 0.0, 'parts ms': {'data': 1.0, 'rest': 2.0}})
    variants = dict(reference={**step, 'ms': spread(500.0)}, fast=fast)
    results = dict(config='net.py', batch=1, crop=32, macs=2.5e10, variants=variants)
    state = dict(state='measured', reason='', seconds=3.0, command='python x.py')
    parts = []
    for name, tool, value in (('c', 'ceilings', CEILINGS), ('t', 'train_step', results)):
        record = dict(command=f'python {tool}.py', date='today', machine=MACHINE, load=1.5)
        record.update(versions=dict(mmspd='1'), results=value)
        (tmp_path / f'{name}.json').write_text(json.dumps(record))
        parts.append(dict(name=name, title=name, tool=tool, **state))
    (tmp_path / 'suite.json').write_text(json.dumps(dict(parts=parts)))
    measured = report.read_suite(tmp_path)
    table = [
        [cell.strip() for cell in line.split('|')[1:-1]]
        for line in report.summary(measured).split('\n')
        if line.startswith('|')
    ]
    origin = ['cpu, threads: 1', 'python 3, torch 2, mmspd 1']
    assert table[2:] == [
        ['copy', '10 GB/s', '', '', '', '', '', *origin, '[1]'],
        ['matrix product, float32', '', '', '', '0.2', '100 %', '25 %', *origin, '[1]'],
        ['matrix product, bfloat16', '', '', '', '0.8', '400 %', '100 %', *origin, '[1]'],
        [
            *('training step, net, plain loop', '500.0 (500.0-500.0) ms', '', ''),
            *('0.1', '50 %', '12 %', *origin, '[2]'),
        ],
        [
            *('training step, net, fast', '250.0 (250.0-250.0) ms', '2.00 (2.00-2.00)'),
            *('speed, to the plain loop', '0.2', '100 %', '25 %', *origin, '[2]'),
        ],
    ]
    assert '[2] python train_step.py' in report.summary(measured)


def test_the_page_about_performance_matches_its_results(capsys):
    load_tool('benchmark/performance_page.py').main(['--check'])
    assert 'performance.md is up to date' in capsys.readouterr().out


def test_an_outdated_page_is_refused(tmp_path, monkeypatch):
    tool = load_tool('benchmark/performance_page.py')
    page = tmp_path / 'page.md'
    monkeypatch.setattr(tool, 'PAGE', page)
    page.write_text('Head\n<!-- performance: begin -->\nold\n<!-- performance: end -->\nTail\n')
    with pytest.raises(UserError, match=r'page.md differs from its results; run tools/benchmark/'):
        tool.main(['--check'])
    tool.main([])
    tool.main(['--check'])
    text = page.read_text()
    assert text.startswith('Head\n<!-- performance: begin -->\n### All measurements\n')
    assert text.endswith('\n<!-- performance: end -->\nTail\n')


@pytest.mark.parametrize('name', ['inference', 'overhead'])
def test_a_stopped_benchmark_keeps_its_results(name, tmp_path, monkeypatch):
    tool = load_tool(f'benchmark/{name}.py')
    done = []

    def measure(*_):
        if done:
            raise KeyboardInterrupt
        done.append(dict(macs=5))
        return done if name == 'inference' else done[0]

    monkeypatch.setattr(tool, 'measure', measure)
    monkeypatch.setattr(tool, 'build_variants', lambda *_: {}, raising=False)
    path = tmp_path / 'r.json'
    with pytest.raises(KeyboardInterrupt):
        tool.main(['unet', 'mimounet', '--json', str(path)])
    (result,) = json.loads(path.read_text())['results']
    assert result['macs'] == 5


@pytest.mark.slow
def test_ceilings(tmp_path, capsys, monkeypatch):
    tool = load_tool('benchmark/ceilings.py')
    monkeypatch.setitem(tool.SIZES, 'cpu', tool.Size(1 << 20, 64, 3))
    path = tmp_path / 'c.json'
    tool.main(['--rounds', '3', '--json', str(path)])
    results = json.loads(path.read_text())['results']
    assert list(results['matrix_product']) == ['float32', 'bfloat16']
    for speed in (results['copy'], *results['matrix_product'].values()):
        assert speed['best'] >= speed['spread']['median'] > 0
    assert len(capsys.readouterr().out.split('\n| ')) == 5


def test_the_speed_of_a_matrix_product(monkeypatch):
    tool = load_tool('benchmark/ceilings.py')
    monkeypatch.setitem(tool.SIZES, 'cpu', tool.Size(4000, 100, 2))
    seconds = [4e-6, 2e-6]
    monkeypatch.setattr(tool, 'time_in_turns', lambda work, *_, **__: dict.fromkeys(work, seconds))
    results = tool.measure(CPU, 2)
    # 2 products of 1e6 MACs in 2 us, and 2 copies of 4000 bytes that are read and written
    assert results['matrix_product']['float32']['best'] == pytest.approx(2.0)
    assert results['copy']['best'] == pytest.approx(8.0)


def test_the_plain_loop_runs_without_tf32(write_config, monkeypatch):
    cudnn = torch.backends.cudnn
    monkeypatch.setattr(cudnn, 'allow_tf32', True)
    seen = []

    class Network(torch.nn.Module):
        def forward(self, image):
            seen.append(cudnn.allow_tf32)
            return image

    photo = np.full((4, 4, 3), 7, np.uint8)
    loop = load_tool('benchmark/inference.py').official_loop
    assert np.array_equal(loop(Network(), CPU, photo), photo)
    config = Config.fromfile(write_config())
    step = load_tool('benchmark/train_step.py').ReferenceStep(config, CPU, loader_batch(1, 32))
    step.model.generator.register_forward_hook(lambda *_: seen.append(cudnn.allow_tf32))
    step()
    assert seen == [False, False]
    assert cudnn.allow_tf32


@pytest.mark.parametrize('tf32', [True, False])
def test_a_matrix_product_uses_tf32_only_where_it_is_measured(monkeypatch, tf32):
    settings = torch.backends.cuda.matmul
    before, seen = settings.allow_tf32, []
    monkeypatch.setattr(torch, 'mm', lambda *_, **__: seen.append(settings.allow_tf32))
    load_tool('benchmark/ceilings.py').multiply(None, None, None, tf32)
    assert seen == [tf32]
    assert settings.allow_tf32 == before


def test_the_clock_of_a_single_thread_is_the_processor_time(monkeypatch):
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 1)
    assert clock_for(CPU) is time.process_time
    assert clock_for(torch.device('cuda')) is time.perf_counter
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 2)
    assert clock_for(CPU) is time.perf_counter


@pytest.mark.slow
def test_a_training_run(tmp_path, write_config, monkeypatch, capsys):
    tool = load_tool('benchmark/training_run.py')
    for name, value in dict(SIZE=(48, 64), PAIRS=4).items():
        monkeypatch.setitem(tool.make_pairs.__globals__, name, value)
    monkeypatch.setattr(tool, 'WARM_UP', 1)
    path = tmp_path / 'r.json'
    settings = ['--seconds', '1', '--workers', '0', '--batch', '2', '--json', str(path)]
    tool.main([write_config(), *settings])
    results = json.loads(path.read_text())['results']
    assert results['steps'] > 1
    assert results['images_per_second'] == 2 * results['steps_per_second'] > 0
    assert 0 < results['waiting'] < 1
    assert len(results['losses']) == 2
    assert min(results['losses']) > 0
    assert '| steps/s |' in ' '.join(capsys.readouterr().out.split())
