"""Restore images of any size within a memory budget, with overlapping tiles that are blended.

The restorer runs tile by tile. For a guided restorer, the prior of the whole image is computed
first, and each tile gets a crop of this prior. If the prior of the whole image is too large for the
memory, the prior of each tile is computed from the tile and a margin around it. The margin is large
enough that a convolutional extractor of the prior returns the same values as for the whole image.

Windows are another method: each window is restored as an image of its own.
"""

from mmspd.models.tiling.network import TileNetwork
from mmspd.models.tiling.restore import restore_images
from mmspd.models.tiling.windows import restore_windows

__all__ = ['TileNetwork', 'restore_images', 'restore_windows']
