import pytest
import torch
from torch.backends import cudnn

from mmspd.utils import precision
from mmspd.utils.precision import autocast, compute_in


@pytest.mark.parametrize(
    ('flags', 'slow'),
    [('', ['bfloat16', 'float16']), ('avx512_bf16', ['float16']), ('amx_bf16 amx_fp16', [])],
)
def test_a_precision_without_instructions_gives_one_warning(flags, slow, pretend_processor):
    warnings = pretend_processor(flags)
    for _ in range(2):
        for name in precision.PRECISIONS:
            with autocast(torch.device('cpu'), name):
                pass
    assert [text.split(' instructions')[0].split()[-1] for text in warnings] == slow
    if not flags:
        assert warnings[0] == (
            'The processor Test 3000 has no bfloat16 instructions, so bfloat16 is slower than '
            'float32; compute in float32 unless memory is short.'
        )


@pytest.mark.parametrize('allowed', [True, False])
@pytest.mark.parametrize(
    ('name', 'inside'),
    [('float32', False), ('tf32', True), ('bfloat16', False), ('float16', False)],
)
def test_only_tf32_lets_convolutions_use_tf32(name, inside, allowed, monkeypatch):
    monkeypatch.setattr(cudnn, 'allow_tf32', allowed)
    with compute_in(torch.device('cpu'), name):
        assert cudnn.allow_tf32 is inside
        assert torch.is_autocast_enabled('cpu') == (name in ('bfloat16', 'float16'))
    assert cudnn.allow_tf32 is allowed
