import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner


@pytest.fixture
def make_runner(write_config, tmp_path):
    """Return a function that builds the tiny config's runner, with Python text appended."""

    def make(extra='', work='work', **changes):
        config = Config.fromfile(write_config(extra))
        config.work_dir = str(tmp_path / work)
        config.experiment_name = f'{tmp_path.name}_{work}'  # the runners of a process share names
        config.merge_from_dict(changes)
        return Runner.from_cfg(config)

    return make


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
