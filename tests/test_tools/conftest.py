import pytest


@pytest.fixture
def small_benchmark(monkeypatch):
    """Return a function that imports a benchmark and lets it read recipes with tiny restorers."""
    import support  # imports MMEngine, which a conftest.py must not do; see devices.py

    def load(name):
        tool = support.load_tool(f'benchmark/{name}.py')
        read = tool.read_config

        def read_small(path, options):
            config = read(path, options)
            if 'model' in config:
                generator = config.model.generator
                generator.get('restorer', generator).update(base=4, num_res=1)
            return config

        monkeypatch.setattr(tool, 'read_config', read_small)
        return tool

    return load
