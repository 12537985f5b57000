import mmap

import numpy as np
import pytest
import torch

from mmspd.models.tiling.memory import free_memory, held_memory

CPU = torch.device('cpu')


def test_used_memory_is_held(tmp_path):
    before = held_memory(CPU)
    # mmap, because an allocator may return memory that is resident already
    taken = mmap.mmap(-1, 2**27)
    np.frombuffer(taken, np.uint8)[:] = 1
    assert held_memory(CPU) - before == pytest.approx(len(taken), rel=0.1)
    assert 0 < free_memory(CPU, tmp_path) < 2**50


def test_the_limit_of_a_container_counts(tmp_path):
    (tmp_path / 'memory.max').write_text('1000\n')
    (tmp_path / 'memory.current').write_text('700\n')
    (tmp_path / 'memory.stat').write_text('anon 450\ninactive_file 250\n')
    assert free_memory(CPU, tmp_path) == 550
    (tmp_path / 'memory.max').write_text('max\n')
    assert free_memory(CPU, tmp_path) > 2**20


def test_version_1_of_control_groups_counts_too(tmp_path):
    folder = tmp_path / 'memory'
    folder.mkdir()
    (folder / 'memory.limit_in_bytes').write_text('1000\n')
    (folder / 'memory.usage_in_bytes').write_text('700\n')
    (folder / 'memory.stat').write_text('cache 9\ntotal_inactive_file 250\n')
    assert free_memory(CPU, tmp_path) == 550
    (folder / 'memory.limit_in_bytes').write_text(f'{2**63 - 4096}\n')  # means no limit
    assert free_memory(CPU, tmp_path) < 2**50
