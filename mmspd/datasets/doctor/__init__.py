"""The data doctor: what is wrong with a data set, before hours of training tell."""

from mmspd.datasets.doctor.checkup import Report, check_data
from mmspd.datasets.doctor.findings import Finding

__all__ = ['Finding', 'Report', 'check_data']
