"""What programs built on mmspd call."""

from mmspd.apis.model import load_model

__all__ = ['load_model']
