"""The sections of the doctor's report, and the repair of the packages."""

import subprocess
import sys
from typing import List, Sequence

from mmspd.doctor.machine import cache_lines, device_lines
from mmspd.doctor.packages import package_lines
from mmspd.doctor.report import Line, Section, faults, looked_at

__all__ = ['apply_fixes', 'examine']


def examine(count_pairs: bool = False, train: bool = False) -> List[Section]:
    """Examine this installation. A missing or broken package is a line of the report.

    Args:
        count_pairs: Whether to find and count the pairs of the data sets.
        train: Whether to train a small network in each precision, in at most 30 s.

    Returns:
        The sections of the report.
    """
    fix = 'correct the faults of the packages'
    sections = [
        Section('Packages', package_lines()),
        Section('Devices', looked_at('devices', fix, device_lines, not train)),
        Section('Downloads', looked_at('caches', fix, cache_lines)),
        Section('Environment variables and data', looked_at('data', fix, _data_lines, count_pairs)),
    ]
    if train:
        title = 'Training of a guided MIMO-UNet, with a stop and a resume'
        sections.append(Section(title, looked_at('training', fix, _training_lines)))
    return sections


def _data_lines(count_pairs: bool) -> List[Line]:
    from mmspd.doctor.data import data_lines  # needs OpenCV

    return data_lines(count_pairs)


def _training_lines() -> List[Line]:
    from mmspd.doctor.training import training_lines  # needs OpenCV and PyTorch

    return training_lines()


def apply_fixes(sections: Sequence[Section]) -> int:
    """Run the calls of pip that fix the faults of a report.

    Args:
        sections: The sections of the report.

    Returns:
        Number of faults for which pip ran without error.
    """
    fixed = 0
    for line in faults(sections):
        calls = [[sys.executable, '-m', 'pip', *call] for call in line.pip]
        if calls:
            fixed += all(subprocess.run(call, check=False).returncode == 0 for call in calls)
    return fixed
