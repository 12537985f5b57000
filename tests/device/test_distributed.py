"""Distributed training: NCCL on GPUs, gloo on CPUs."""

import pytest
import ranks
import torch

pytestmark = pytest.mark.cuda


@pytest.mark.parametrize('count', [1, 2])
def test_a_step_of_all_ranks_equals_a_step_alone(
    device, count, run_ranks, run_tool, write_config, tmp_path
):
    if device.type == 'cuda' and torch.cuda.device_count() < count:
        pytest.skip(f'this machine has fewer than {count} GPUs')
    code, output = run_tool(
        'train.py', write_config(ranks.ONE_STEP, base='distilled'), '--work-dir', tmp_path / 'one'
    )
    assert code == 0, output
    backend = 'nccl' if device.type == 'cuda' else 'gloo'
    hook = f"custom_hooks.append(dict(type='RequireBackend', backend='{backend}'))"
    codes, output = run_ranks(
        'train.py', write_config(ranks.ONE_STEP + hook, base='distilled'),
        '--work-dir', tmp_path / 'all',
        '--cfg-options', f'train_dataloader.batch_size={4 // count}',
        count=count,
    )  # fmt: skip
    assert codes == [0] * count, output
    ranks.check_equal_runs(tmp_path / 'one', tmp_path / 'all')
