"""The sections of the doctor's report."""

from typing import List

from mmspd.doctor.data import data_lines
from mmspd.doctor.machine import cache_lines, device_lines
from mmspd.doctor.packages import package_lines
from mmspd.doctor.report import Section, looked_at

__all__ = ['examine']


def examine(count_pairs: bool = False) -> List[Section]:
    """Examine this installation. A missing or broken package is a line of the report.

    Args:
        count_pairs: Whether to find and count the pairs of the data sets.

    Returns:
        The sections of the report.
    """
    fix = 'correct the faults of the packages'
    return [
        Section('Packages', package_lines()),
        Section('Devices', looked_at('devices', fix, device_lines)),
        Section('Downloads', looked_at('caches', fix, cache_lines)),
        Section('Environment variables and data', data_lines(count_pairs)),
    ]
