"""Deblurring in tiles under a memory budget on the device, in a new process."""

import pytest

pytestmark = pytest.mark.cuda


def test_memory_stays_within_the_budget(device, restore_large):
    """Measured by the allocator and by the GPU, or as resident memory on the CPU."""
    report = restore_large('300', device.type, 'whole')
    assert set(report['peaks']) == (
        {'resident'} if device.type == 'cpu' else {'allocated', 'reported'}
    )
    assert report['tiles'] > 1
    for name, peak in report['peaks'].items():
        assert peak < report['budget'] < report['whole'][name], (name, report)
