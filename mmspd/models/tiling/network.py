"""Run a generator on parts of an image, and estimate the memory that the generator needs."""

import math
import weakref
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor, nn

from mmspd.models.guided import SemanticGuided, as_list
from mmspd.models.layers.any_size import accept_any_size
from mmspd.models.layers.compilation import Compiled
from mmspd.models.layers.padding import pad_to_multiple, round_up
from mmspd.models.layers.shape_inference import peak_memory
from mmspd.models.restorers.base import Restorer
from mmspd.models.tiling.grid import Span

__all__ = ['TileNetwork']

MULTIPLE = 64  # default for networks that do not state the multiple of their strides
# Margin in pixels around a tile whose prior is computed without the rest of the image. The
# receptive field of ConvExtractor reaches 151 pixels by default, and 207 with num_blocks=(4, 6, 8).
# The receptive field of EfficientNet-Lite0 on the image at twice its size reaches 96 pixels. With
# these extractors, the prior of a tile equals a crop of the prior of the whole image. Backbones
# that pool over the image (squeeze and excitation) pool over the tile and the margin instead.
SURROUNDINGS = 256
# Memory that an allocator keeps beyond the live tensors; see peak_memory for the measurement.
KEPT_FACTOR, KEPT_BYTES = 1.25, 128 * 2**20


#: A dict from each network to its memory estimates so far. This cache avoids a new estimate for
#: every photo of a folder.
_COSTS: 'weakref.WeakKeyDictionary[nn.Module, Dict[Tuple[Any, ...], int]]' = (
    weakref.WeakKeyDictionary()
)


class TileNetwork:
    """Runs a generator on tiles and estimates the memory that it needs.

    A generator is a restorer with or without a prior.

    Args:
        model: A model with a ``generator``, or a generator. It must be in evaluation mode and
            already on the device to use.
        compiled: Compile the restorer once for each tile size. ``True`` uses CUDA graphs on an
            accelerator. The prior branch is never compiled, because it runs on the whole image and
            is a small part of the work.

    Attributes:
        multiple: Tiles start at multiples of this number of pixels.
        smallest: Smallest side of a tile without padding, a multiple of :attr:`multiple`.
        padding: Mode of the restorer's padding.
        surroundings: Margin in pixels around a tile whose prior is computed without the rest of the
            image; 0 for a generator without a prior.

    Examples:
        >>> import torch
        >>> from mmspd.models.restorers import UNet
        >>> from mmspd.models.tiling import TileNetwork
        >>> from mmspd.models.tiling.grid import Span
        >>> net = TileNetwork(UNet(base=4, num_res=1).eval())
        >>> with torch.no_grad():
        ...     net.restore_tile(torch.zeros(1, 3, 64, 96), Span(0, 32), Span(32, 96)).shape
        torch.Size([1, 3, 32, 64])
    """

    def __init__(self, model: nn.Module, compiled: Union[bool, Compiled] = False) -> None:
        self.generator: Any = getattr(model, 'generator', model)
        self.device = next(self.generator.parameters()).device
        self.memory_format = getattr(model, 'memory_format', torch.contiguous_format)
        self.guided = isinstance(self.generator, SemanticGuided)
        accept_any_size(self.generator, required=False)
        self.costs = _COSTS.setdefault(self.generator, {})
        limits = self.generator.size_limits
        self.multiple = math.lcm(getattr(self.generator, 'multiple', MULTIPLE), limits.multiple)
        smallest = self.generator.smallest if self.guided else limits.smallest
        self.smallest = round_up(smallest, self.multiple)
        restorer = getattr(self.generator, 'restorer', self.generator)
        self.padding = restorer.padding if isinstance(restorer, Restorer) else 'mirror'
        self._sees_padding = getattr(restorer, 'sees_padding', False)
        self.surroundings = round_up(SURROUNDINGS, self.multiple) if self.guided else 0
        if not isinstance(compiled, Compiled):
            # CUDA graphs overwrite a result at the next call; restore_images() copies it in time
            mode = None if self.device.type == 'cpu' else 'reduce-overhead'
            compiled = Compiled(compiled and dict(dynamic=False, mode=mode))
        self._compiled = compiled

    @property
    def is_compiled(self) -> bool:
        """Whether the restorer is compiled."""
        return self._compiled.options is not False

    def load(self, img: Tensor) -> Tensor:
        """Move images to the device of the network.

        Args:
            img: ``(N, 3, h, w)``.

        Returns:
            The same images as float32, in the memory format of the model.
        """
        img = img.to(self.device, torch.float32)
        return img.contiguous(memory_format=self.memory_format)

    def restore_tile(
        self, img: Tensor, rows: Span, columns: Span, prior: Optional[Sequence[Tensor]] = None
    ) -> Tensor:
        """Restore the same part of every image in a batch.

        Args:
            img: ``(N, 3, H, W)``, RGB, [0, 1], on the device of the network.
            rows: Rows of the part. They start at a multiple of :attr:`multiple`.
            columns: Columns of the part. They start at a multiple of :attr:`multiple`.
            prior: Prior of the part. With ``None``, the prior of ``img`` is computed and cropped.

        Returns:
            The restored part ``(N, 3, h, w)``. h and w are the lengths of ``rows`` and ``columns``;
            for a compiled network, they are rounded up to :attr:`multiple`.
        """
        if self.guided and prior is None:
            prior = self.crop(self.compute_prior(img), rows, columns)
        part = img[..., rows.start : rows.stop, columns.start : columns.stop]
        # a compiled program is valid for one size and one memory layout
        if self.is_compiled and not self._sees_padding:
            part = self._pad(part, self.padding)
        part = part.contiguous(memory_format=self.memory_format)
        if part.is_meta:
            return _restore(self.generator, part, prior)
        return self._compiled(_restore, self.generator, part, prior)

    def compute_prior(self, img: Tensor) -> List[Tensor]:
        """Compute the prior of images.

        Args:
            img: ``(N, 3, H, W)``, RGB, [0, 1], on the device of the network. The images are
                padded to multiples of :attr:`multiple`.

        Returns:
            The levels of the prior, fine to coarse.
        """
        return self.generator.compute_prior(self._pad(img))

    def crop(self, prior: Sequence[Tensor], rows: Span, columns: Span) -> List[Tensor]:
        """Crop the prior of an image to a part of the image.

        Args:
            prior: The levels of the prior of the image.
            rows: Rows of the part. They start at a multiple of :attr:`multiple`.
            columns: Columns of the part. They start at a multiple of :attr:`multiple`.

        Returns:
            The cropped levels. The size of the part is rounded up to :attr:`multiple`, at least to
            :attr:`smallest`.
        """
        (top, left), strides = (rows.start, columns.start), self.generator.prior.strides
        bottom = top + self._padded(rows.stop - top)
        right = left + self._padded(columns.stop - left)
        return [
            level[
                ..., top // stride : bottom // stride, left // stride : right // stride
            ].contiguous(memory_format=self.memory_format)
            for level, stride in zip(prior, strides)
        ]

    def cost(self, size: Tuple[int, int], tile: Tuple[int, int], whole_prior: bool) -> int:
        """Estimate the memory that :meth:`restore_tile` needs in float32.

        Args:
            size: Height and width of the image.
            tile: Height and width of the tile.
            whole_prior: Whether the tile gets a crop of the prior of the whole image. The estimate
                does not include the prior of the whole image.

        Returns:
            The estimate in bytes.
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
        """Estimate the memory that computing the prior of an image needs in float32.

        Args:
            height: Height of the image.
            width: Width of the image.

        Returns:
            The estimate in bytes.
        """

        def forward() -> None:
            self.compute_prior(torch.empty(1, 3, height, width, device='meta'))

        return self._cost((height, width), forward)

    def prior_size(self, height: int, width: int) -> int:
        """Compute the size of the prior of an image in float32.

        Args:
            height: Height of the image.
            width: Width of the image.

        Returns:
            The size in bytes.
        """
        return 4 * sum(math.prod(shape) for shape in self.prior_shapes(height, width))

    def prior_shapes(self, height: int, width: int) -> List[Tuple[int, ...]]:
        """Compute the shapes of the levels of the prior of an image.

        Args:
            height: Height of the image.
            width: Width of the image.

        Returns:
            One shape ``(1, C_i, H_i, W_i)`` per level, fine to coarse.
        """
        height, width = self._padded(height), self._padded(width)
        prior = self.generator.prior
        return [
            (1, channels, height // stride, width // stride)
            for channels, stride in zip(prior.channels, prior.strides)
        ]

    def _pad(self, img: Tensor, mode: str = 'mirror') -> Tensor:
        return pad_to_multiple(img, self.multiple, mode, smallest=self.smallest)

    def _padded(self, length: int) -> int:
        return max(round_up(length, self.multiple), self.smallest)

    def _cost(self, case: Tuple[int, ...], forward: Callable[[], None]) -> int:
        if case not in self.costs:
            self.costs[case] = int(KEPT_FACTOR * peak_memory(self.generator, forward)) + KEPT_BYTES
        return self.costs[case]


def _restore(generator: Any, img: Tensor, prior: Optional[Sequence[Tensor]]) -> Tensor:
    """Restore images, with a given prior if the generator is guided."""
    outputs = generator(img) if prior is None else generator.restore_with_prior(img, prior)
    return as_list(outputs)[-1]
