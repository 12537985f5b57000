"""Draw the prior of an image and restored images."""

from mmspd.visualization.prior_picture import Palette, draw_rows
from mmspd.visualization.prior_view import PriorView, view_prior
from mmspd.visualization.prior_view_hook import PriorViewHook

__all__ = ['Palette', 'PriorView', 'PriorViewHook', 'draw_rows', 'view_prior']
