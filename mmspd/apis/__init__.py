"""Public classes and functions for programs that use mmspd."""

from mmspd.apis.inferencer import DeblurInferencer, RestoreOptions
from mmspd.apis.model import init_model

__all__ = ['DeblurInferencer', 'RestoreOptions', 'init_model']
