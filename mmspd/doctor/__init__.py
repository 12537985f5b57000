"""Examine the installation: packages, devices, caches, environment variables and data."""

from mmspd.doctor.examination import examine
from mmspd.doctor.report import Line, Section, exit_code, render

__all__ = ['Line', 'Section', 'examine', 'exit_code', 'render']
