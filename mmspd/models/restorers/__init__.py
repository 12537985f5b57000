"""Restorers: networks from a blurry image to its restorations, with seams for a prior."""

from mmspd.models.restorers.base import Restorer
from mmspd.models.restorers.deep_deblur import DeepDeblur
from mmspd.models.restorers.dmphn import DMPHN
from mmspd.models.restorers.mimo_unet import MIMOUNet
from mmspd.models.restorers.mprnet import MPRNet
from mmspd.models.restorers.mssnet import MSSNet
from mmspd.models.restorers.unet import UNet

__all__ = ['DMPHN', 'DeepDeblur', 'MIMOUNet', 'MPRNet', 'MSSNet', 'Restorer', 'UNet']
