"""The base class of the prior branches."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

from mmengine.model import BaseModule
from torch import Tensor

from mmspd.registry import build_model

__all__ = ['PriorBranch']


class PriorBranch(BaseModule):
    """Base class of a branch that maps a blurry image to the prior f_pri^1 ... f_pri^L.

    A subclass sets :attr:`channels` and implements :meth:`forward`.

    Args:
        extractor: Config of F_S, ``mmspd.ConvExtractor`` or ``mmspd.BackboneExtractor``.

    Attributes:
        channels: Channels of the levels of the prior, fine to coarse.
        strides: Strides of the levels with respect to the image.
        multiple: The height and width of the image must be multiples of this size.
        classes: Number of classes if the prior is a segmentation map, ``None`` for features.
    """

    channels: Tuple[int, ...]
    classes: Optional[int] = None

    def __init__(self, extractor: Dict[str, Any]) -> None:
        super().__init__()
        self.extractor = build_model(extractor)
        self.strides = self.extractor.strides
        self.multiple = max(self.strides)

    def guidance(self, prior: Sequence[Tensor]) -> Sequence[Tensor]:
        """Convert the prior into the guidance for the embedding layer.

        The distillation loss gets the prior without this conversion.

        Args:
            prior: The result of :meth:`forward`.

        Returns:
            Maps of the same shapes as the prior. The base class returns the prior itself.
        """
        return prior

    def forward(self, img: Tensor) -> List[Tensor]:
        """Extract the prior.

        Args:
            img: Blurry image ``(N, 3, H, W)``, RGB, [0, 1]; H and W are multiples of
                :attr:`multiple`.

        Returns:
            The levels f_pri^1 ... f_pri^L, fine to coarse, each
            ``(N, C_i, H / stride_i, W / stride_i)``.
        """
        raise NotImplementedError
