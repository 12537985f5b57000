"""Restore images of any size within a memory budget, by overlapping tiles that are blended.

The restorer runs tile by tile. The tiles of a guided restorer take crops of the prior of the whole
image. If that prior exceeds the memory, the prior of each tile is computed from the tile and a
margin around it. The margin is large enough that a convolutional F_S returns the same prior.
"""

from mmspd.models.tiling.network import TileNetwork
from mmspd.models.tiling.restore import restore_images

__all__ = ['TileNetwork', 'restore_images']
