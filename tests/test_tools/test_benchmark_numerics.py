import json
import statistics


def test_compares_ways_to_train(run_tool, write_config, tmp_path):
    code, output = run_tool(
        'benchmark/numerics.py',
        write_config(),
        *('--steps', 2, '--seeds', 2, '--variants', 'bfloat16'),
        *('--work-dir', tmp_path / 'work', '--json', tmp_path / 'found.json'),
    )
    assert code == 0, output
    found = json.loads((tmp_path / 'found.json').read_text())['found']['variants']
    assert list(found) == ['float32', 'bfloat16']
    reference = found['float32']['psnr']
    assert reference[0] != reference[1]  # the seeds do something
    for name, runs in found.items():
        assert runs['off'] == [a - b for a, b in zip(runs['psnr'], reference)]
        cell = f'{statistics.mean(runs["psnr"]):.3f} +- {statistics.stdev(runs["psnr"]):.3f}'
        assert any(name in line and cell in line for line in output.splitlines())
    assert 0 < max(map(abs, found['bfloat16']['off'])) < 0.5
    assert not list((tmp_path / 'work').rglob('*.pth'))


def test_refuses_what_makes_no_run(run_tool, write_config):
    code, output = run_tool('benchmark/numerics.py', write_config(), '--steps', 0)
    assert code == 1
    assert output.strip().splitlines()[-1] == 'error: --steps 0: give a number from 1 on'
