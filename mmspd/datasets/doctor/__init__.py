"""Check a data set for faults before training."""

from mmspd.datasets.doctor.checkup import Report, check_data
from mmspd.datasets.doctor.findings import Finding

__all__ = ['Finding', 'Report', 'check_data']
