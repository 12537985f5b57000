"""SPL: the student of the semantic prior learning branch (section 3.1)."""

from typing import Any, Dict, List, Optional, Sequence

from torch import Tensor

from mmspd.models.priors.base import PriorBranch
from mmspd.registry import MODELS, build_model

__all__ = ['SPL', 'normalize_pixels']

CONV_EXTRACTOR = dict(type='mmspd.ConvExtractor')
CROSS_LEVEL = dict(type='mmspd.CLC')


@MODELS.register_module()
class SPL(PriorBranch):
    """The semantic prior learning branch: extracts the prior from the blurry image.

    Args:
        extractor: Config of F_S, ``mmspd.ConvExtractor`` or ``mmspd.BackboneExtractor``.
        clc: Config of the cross-level connection. With ``None``, the prior is the feature m of the
            extractor, and the distillation follows Eq. 2 instead of Eq. 4 (Net1-3 and Net5 of the
            paper's Table 4).
        normalize: Normalize the guidance, the input of the embedding layer: the channels of every
            pixel get mean 0 and variance 1. The restorer then does not depend on the scale of the
            teacher's features. The distillation loss still compares the prior before this
            normalization. This option is not in the paper.

    Attributes:
        channels: Channels of the levels of the prior, fine to coarse.
        strides: Strides of the levels with respect to the image.
        multiple: The height and width of the image must be multiples of this size.

    Examples:
        >>> import torch
        >>> from mmspd.models.priors import SPL
        >>> spl = SPL(extractor=dict(type='mmspd.ConvExtractor', width=16))
        >>> [tuple(level.shape) for level in spl(torch.rand(1, 3, 32, 32))]
        [(1, 16, 16, 16), (1, 16, 8, 8), (1, 16, 4, 4)]
        >>> spl.channels, spl.strides
        ((16, 16, 16), (2, 4, 8))
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
            img: Blurry image ``(N, 3, H, W)``, RGB, [0, 1]; H and W are multiples of
                :attr:`multiple`.

        Returns:
            The levels f_pri^1 ... f_pri^L, fine to coarse, each
            ``(N, C_i, H / stride_i, W / stride_i)``.
        """
        features = list(self.extractor(img))
        return features if self.clc is None else self.clc(features)

    def guidance(self, prior: Sequence[Tensor]) -> Sequence[Tensor]:
        """Convert the prior into the guidance for the embedding layer; see ``normalize``.

        Args:
            prior: The result of :meth:`forward`.

        Returns:
            Maps of the same shapes as the prior.
        """
        return [normalize_pixels(level) for level in prior] if self.normalize else prior


def normalize_pixels(level: Tensor) -> Tensor:
    """Normalize the channels of every pixel to mean 0 and variance 1.

    Args:
        level: Features ``(N, C, H, W)``.

    Returns:
        Features of the same shape.
    """
    centered = level - level.mean(1, keepdim=True)
    return centered * (centered.square().mean(1, keepdim=True) + 1e-5).rsqrt()
