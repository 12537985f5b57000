"""Compiled training on the device, where CUDA graphs overwrite the results of the last call."""

import pytest
import tiny_training
import torch
from torch.utils._pytree import tree_leaves

from mmspd.models.layers.compilation import Compiled

pytestmark = pytest.mark.cuda


@pytest.fixture
def reused_memory(device, monkeypatch):
    """Overwrite the results of the last call before a call, also on the CPU."""
    if device.type == 'cuda':
        return
    call, alive = Compiled.__call__, []

    def overwriting(self, *args, **kwargs):
        with torch.no_grad():
            for tensor in alive if self.reuses_memory else ():
                tensor.fill_(float('nan'))
        result = call(self, *args, **kwargs)
        alive[:] = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        return result

    monkeypatch.setattr(Compiled, '__call__', overwriting)


@pytest.mark.usefixtures('reused_memory')
@pytest.mark.parametrize(
    'options',
    [
        dict(backend='cudagraphs', dynamic=False),
        pytest.param(dict(mode='reduce-overhead', dynamic=False), marks=pytest.mark.slow),
    ],
    ids=['cudagraphs', 'inductor'],
)
def test_steps_equal_those_without_compilation(device, options):
    if device.type == 'cpu' and 'mode' in options:
        pytest.skip('the C++ compiler takes minutes')
    torch._dynamo.reset()
    eager, compiled = (tiny_training.build(device, compile=c) for c in (False, options))
    assert compiled._compiled_generator.reuses_memory
    start, data = tiny_training.weights(eager), tiny_training.batches(3)
    want = tiny_training.train(eager, data)
    got = tiny_training.train(compiled, data)
    for step, expected in zip(got, want, strict=True):
        assert step == pytest.approx(expected, rel=1e-4)
    assert want[0] != pytest.approx(want[1], rel=1e-2)  # steps that are replayed would be seen
    tiny_training.check_equal_moves(
        start, tiny_training.weights(compiled), tiny_training.weights(eager), 1e-3
    )
