"""Restorers: networks that map a blurry image to restored images, with seams for a prior."""

# ruff: noqa: F401 - each import registers a restorer and exports its class

from mmspd.models.restorers import mmagic_restorers
from mmspd.models.restorers.base import Restorer
from mmspd.models.restorers.deblurganv2 import DeblurGANv2
from mmspd.models.restorers.deep_deblur import DeepDeblur
from mmspd.models.restorers.dmphn import DMPHN
from mmspd.models.restorers.hinet import HINet
from mmspd.models.restorers.mimo_unet import MIMOUNet
from mmspd.models.restorers.mprnet import MPRNet
from mmspd.models.restorers.mssnet import MSSNet
from mmspd.models.restorers.pss_nsc import PSSNSC
from mmspd.models.restorers.srn import SRN
from mmspd.models.restorers.unet import UNet
