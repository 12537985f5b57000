"""SPL: the student half of the semantic prior learning branch (section 3.1)."""

from typing import Any, Dict, List, Optional, Sequence

from torch import Tensor

from mmspd.models.priors.base import PriorBranch
from mmspd.registry import MODELS, build_model

__all__ = ['SPL']

CONV_EXTRACTOR = dict(type='mmspd.ConvExtractor')
CROSS_LEVEL = dict(type='mmspd.CLC')


@MODELS.register_module()
class SPL(PriorBranch):
    """Semantic prior learning branch: extracts the prior from the blurry image.

    Args:
        extractor: config of F_S, ``mmspd.ConvExtractor`` or ``mmspd.BackboneExtractor``.
        clc: config of the cross-level connection; ``None`` leaves it out (the prior is then m
            itself, distilled by Eq. 2 instead of Eq. 4: Net1-3 and Net5 of the paper's Table 4).
        normalize: show the restorer the prior with the channels of every pixel brought to mean 0
            and variance 1, so that its scale is not that of the teacher's features; the loss
            compares the prior itself. Not in the paper.

    Attributes:
        channels: channels of the prior's levels, fine to coarse.
        strides: strides of the levels on the image.
        multiple: the sides of the image must be multiples of it.
    """

    def __init__(
        self,
        extractor: Dict[str, Any] = CONV_EXTRACTOR,
        clc: Optional[Dict[str, Any]] = CROSS_LEVEL,
        normalize: bool = False,
    ) -> None:
        super().__init__(extractor)
        self.channels = self.extractor.channels
        self.clc = None if clc is None else build_model(clc, channels=self.channels)
        self.normalize = normalize

    def forward(self, img: Tensor) -> List[Tensor]:
        """Extract the prior.

        Args:
            img: blurry image ``(N, 3, H, W)``, RGB, [0, 1], sides multiples of :attr:`multiple`.

        Returns:
            f_pri^1 ... f_pri^L, each ``(N, C_i, H / stride_i, W / stride_i)``, fine to coarse.
        """
        features = list(self.extractor(img))
        return features if self.clc is None else self.clc(features)

    def guidance(self, prior: Sequence[Tensor]) -> Sequence[Tensor]:
        """Turn the prior into what the restorer is shown; see ``normalize``.

        Args:
            prior: what ``forward`` returned.

        Returns:
            Maps of the same shapes.
        """
        return [_normalize(level) for level in prior] if self.normalize else prior


def _normalize(level: Tensor) -> Tensor:
    """Bring the channels of every pixel to mean 0 and variance 1."""
    centered = level - level.mean(1, keepdim=True)
    return centered * (centered.square().mean(1, keepdim=True) + 1e-5).rsqrt()
