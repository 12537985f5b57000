"""What every prior branch has in common: where its levels lie, and what the restorer is shown."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

from mmengine.model import BaseModule
from torch import Tensor

from mmspd.registry import build_model

__all__ = ['PriorBranch']


class PriorBranch(BaseModule):
    """Base class: a blurry image in, the prior f_pri^1 ... f_pri^L out, fine to coarse.

    A subclass states :attr:`channels` and writes ``forward``.

    Args:
        extractor: config of F_S, ``mmspd.ConvExtractor`` or ``mmspd.BackboneExtractor``.

    Attributes:
        channels: channels of the prior's levels, fine to coarse.
        strides: strides of the levels on the image.
        multiple: the sides of the image must be multiples of it.
        classes: number of classes where the prior is a segmentation map, ``None`` for features.
    """

    channels: Tuple[int, ...]
    classes: Optional[int] = None

    def __init__(self, extractor: Dict[str, Any]) -> None:
        super().__init__()
        self.extractor = build_model(extractor)
        self.strides = self.extractor.strides
        self.multiple = max(self.strides)

    def guidance(self, prior: Sequence[Tensor]) -> Sequence[Tensor]:
        """Turn the prior, as the distillation compares it, into what the restorer is shown.

        Args:
            prior: what ``forward`` returned.

        Returns:
            Maps of the same shapes; here the prior itself.
        """
        return prior

    def forward(self, img: Tensor) -> List[Tensor]:
        """Extract the prior.

        Args:
            img: blurry image ``(N, 3, H, W)``, RGB, [0, 1], sides multiples of :attr:`multiple`.

        Returns:
            f_pri^1 ... f_pri^L, each ``(N, C_i, H / stride_i, W / stride_i)``, fine to coarse.
        """
        raise NotImplementedError
