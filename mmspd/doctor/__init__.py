"""Examine the installation: packages, devices, caches, environment variables, data, training."""

from mmspd.doctor.examination import apply_fixes, examine
from mmspd.doctor.report import Line, Section, faults, render

__all__ = ['Line', 'Section', 'apply_fixes', 'examine', 'faults', 'render']
