"""Running a generator on parts of an image, and the memory that this takes."""

import math
import weakref
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor, nn

from mmspd.models.guided import SemanticGuided, as_list
from mmspd.models.layers.compilation import Compiled
from mmspd.models.layers.padding import pad_to_multiple, round_up
from mmspd.models.layers.shape_inference import peak_memory, shapes_only
from mmspd.models.restorers.base import Restorer
from mmspd.models.tiling.grid import Span

__all__ = ['TileNetwork']

MULTIPLE = 64  # a multiple of the strides of any network, for those that do not state theirs
# Pixels around a tile for its prior. ConvExtractor sees 151 far by default and 207 with its larger
# num_blocks=(4, 6, 8), EfficientNet-Lite0 of the image at twice its size 96: there the prior is the
# very same as that of the whole image. Backbones that pool over the image (squeeze and excitation)
# pool over the tile and these surroundings instead.
SURROUNDINGS = 256
# what an allocator keeps beyond the tensors alive; see peak_memory for the measurement
KEPT_FACTOR, KEPT_BYTES = 1.25, 128 * 2**20


#: The multiple that a network accepts, and the memory of the cases counted so far, so that a folder
#: of photos is not measured photo by photo.
_MEASURED: 'weakref.WeakKeyDictionary[nn.Module, Tuple[int, Dict[Tuple[Any, ...], int]]]' = (
    weakref.WeakKeyDictionary()
)


class TileNetwork:
    """Runs a generator on tiles and estimates the memory it needs.

    Args:
        model: in evaluation mode, on its device; or its generator.
        compiled: how the restorer is compiled for each size of tile; ``True`` for CUDA graphs on
            an accelerator. The prior, a small part of the work, is not compiled, because it sees
            the whole image.
    """

    def __init__(self, model: nn.Module, compiled: Union[bool, Compiled] = False) -> None:
        self.generator: Any = getattr(model, 'generator', model)
        self.device = next(self.generator.parameters()).device
        self.memory_format = getattr(model, 'memory_format', torch.contiguous_format)
        self.guided = isinstance(self.generator, SemanticGuided)
        if self.generator not in _MEASURED:
            _MEASURED[self.generator] = (_accepted_multiple(self.generator), {})
        self.accepted, self.costs = _MEASURED[self.generator]
        self.multiple = math.lcm(getattr(self.generator, 'multiple', MULTIPLE), self.accepted)
        self.surroundings = round_up(SURROUNDINGS, self.multiple) if self.guided else 0
        if not isinstance(compiled, Compiled):
            # CUDA graphs reuse the memory of a result, which is copied before the next tile
            mode = None if self.device.type == 'cpu' else 'reduce-overhead'
            compiled = Compiled(compiled and dict(dynamic=False, mode=mode))
        self._compiled = compiled

    @property
    def is_compiled(self) -> bool:
        """Whether the restorer is compiled."""
        return self._compiled.options is not False

    def load(self, img: Tensor) -> Tensor:
        """Bring ``(N, 3, h, w)`` to the device, as float32."""
        img = img.to(self.device, torch.float32)
        return img.contiguous(memory_format=self.memory_format)

    def restore_tile(
        self, img: Tensor, rows: Span, columns: Span, prior: Optional[Sequence[Tensor]] = None
    ) -> Tensor:
        """Restore a part of images on the device.

        Args:
            img: ``(N, 3, H, W)``.
            rows: the part; starts at a multiple of :attr:`multiple`.
            columns: likewise.
            prior: that of the part. Where it is ``None`` it is cut out of the images'.

        Returns:
            ``(N, 3, rows, columns)``, padded to what the restorer accepts.
        """
        if self.guided and prior is None:
            prior = self.crop(self.compute_prior(img), rows, columns)
        part = img[..., rows.start : rows.stop, columns.start : columns.stop]
        # one size and memory layout for all tiles: both are part of what is compiled for
        part = pad_to_multiple(part, self.multiple if self.is_compiled else self.accepted)
        part = part.contiguous(memory_format=self.memory_format)
        if part.is_meta:
            return _restore(self.generator, part, prior)
        return self._compiled(_restore, self.generator, part, prior)

    def compute_prior(self, img: Tensor) -> List[Tensor]:
        """Extract the prior of an image on the device, padded to :attr:`multiple`."""
        return self.generator.compute_prior(pad_to_multiple(img, self.multiple))

    def crop(self, prior: Sequence[Tensor], rows: Span, columns: Span) -> List[Tensor]:
        """Cut the prior of a part out of an image's."""
        (top, left), strides = (rows.start, columns.start), self.generator.prior.strides
        bottom = top + round_up(rows.stop - top, self.multiple)
        right = left + round_up(columns.stop - left, self.multiple)
        return [
            level[
                ..., top // stride : bottom // stride, left // stride : right // stride
            ].contiguous(memory_format=self.memory_format)
            for level, stride in zip(prior, strides)
        ]

    def cost(self, size: Tuple[int, int], tile: Tuple[int, int], whole_prior: bool) -> int:
        """Bytes that :meth:`restore_tile` takes for a tile of an image, in float32.

        Beside the prior of the whole image, where there is one.
        """
        margin = 0 if whole_prior else 2 * self.surroundings
        around = tuple(min(length, side + margin) for length, side in zip(size, tile))

        def forward() -> None:
            img = torch.empty(1, 3, *around, device='meta')
            prior = None
            if whole_prior:
                prior = [torch.empty(s, device='meta') for s in self.prior_shapes(*tile)]
            self.restore_tile(img, Span(0, tile[0]), Span(0, tile[1]), prior)

        return self._cost((*around, *tile, whole_prior), forward)

    def prior_cost(self, height: int, width: int) -> int:
        """Bytes that computing the prior of an image takes, in float32."""

        def forward() -> None:
            self.compute_prior(torch.empty(1, 3, height, width, device='meta'))

        return self._cost((height, width), forward)

    def prior_size(self, height: int, width: int) -> int:
        """Bytes of the prior of an image, in float32."""
        return 4 * sum(math.prod(shape) for shape in self.prior_shapes(height, width))

    def prior_shapes(self, height: int, width: int) -> List[Tuple[int, ...]]:
        """Shapes of the levels of the prior of an image."""
        height, width = round_up(height, self.multiple), round_up(width, self.multiple)
        prior = self.generator.prior
        return [
            (1, channels, height // stride, width // stride)
            for channels, stride in zip(prior.channels, prior.strides)
        ]

    def _cost(self, case: Tuple[int, ...], forward: Callable[[], None]) -> int:
        if case not in self.costs:
            self.costs[case] = int(KEPT_FACTOR * peak_memory(self.generator, forward)) + KEPT_BYTES
        return self.costs[case]


def _restore(generator: Any, img: Tensor, prior: Optional[Sequence[Tensor]]) -> Tensor:
    """Restore images, with their prior where the generator is guided."""
    outputs = generator(img) if prior is None else generator.restore_with_prior(img, prior)
    return as_list(outputs)[-1]


def _accepted_multiple(generator: nn.Module) -> int:
    """The multiple that a restorer wants both sides to be of: 1 where it pads by itself."""
    restorer = getattr(generator, 'restorer', generator)
    if isinstance(restorer, Restorer):
        return 1
    for multiple in (1, 2, 4, 8, 16, 32):
        try:
            with shapes_only(restorer):
                # some pad large images only, as reflection padding needs an image of some size
                for side in (multiple, 128 + multiple):
                    restorer(torch.empty(1, 3, side, side, device='meta'))
        except (RuntimeError, ValueError, AssertionError):
            continue
        return multiple
    return MULTIPLE
