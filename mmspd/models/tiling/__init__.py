"""Restoring an image of any size within a memory budget, by tiles that fade into each other.

The restorer runs tile by tile. Where it is guided, all tiles are shown crops of the one prior of
the whole image; where that does not fit, the prior of each tile is computed with so much of its
surroundings that a convolutional F_S gives the very same.
"""

from mmspd.models.tiling.network import TileNetwork
from mmspd.models.tiling.restore import restore_images

__all__ = ['TileNetwork', 'restore_images']
