"""SPE: the semantic prior embedding layer (section 3.2)."""

from functools import partial
from typing import Any, Dict, Iterator, Mapping, NamedTuple, Optional, Sequence, Tuple, cast

from torch import Tensor, nn

from mmspd.models.embeddings.fusion import SAT
from mmspd.models.seams import FuseFn
from mmspd.registry import MODELS, build_model

__all__ = ['SPE', 'SeamSpec']

MULTI_LEVEL = dict(type='mmspd.MLA')
SEMANTIC_ATTENTION = dict(type='mmspd.SAT')


class SeamSpec(NamedTuple):
    """Properties of a seam for the embedding.

    Attributes:
        channels: Channels of the decoder feature.
        stride: Stride of the decoder feature with respect to the image.
        level: Index of the prior's level for this seam, 0 for the finest.
    """

    channels: int
    stride: int
    level: int


@MODELS.register_module()
class SPE(nn.Module):
    """Semantic prior embedding: aggregates the prior and fuses it into the feature at every seam.

    Args:
        seams: A dict from the name of each seam to its channels, stride and prior level. Do not
            write ``seams``, ``prior_channels`` and ``prior_strides`` in a config, because
            :class:`~mmspd.models.guided.SemanticGuided` sets them.
        prior_channels: Channels of the levels of the prior.
        prior_strides: Strides of the levels of the prior.
        mla: Config of the multi-level aggregation. With ``None``, a seam gets its level of the
            prior without the other levels (Net1-4 of the paper's Table 4).
        fusion: Config of the fusion, ``mmspd.SAT``, ``mmspd.AddFusion`` or ``mmspd.ConcatFusion``.

    Attributes:
        levels: A dict from the name of each seam to the index of its level of the prior.

    Examples:
        >>> import torch
        >>> from mmspd.models.embeddings import SPE
        >>> from mmspd.models.embeddings.spe import SeamSpec
        >>> seams = dict(dec1=SeamSpec(channels=8, stride=1, level=0))
        >>> spe = SPE(seams, prior_channels=(16, 16), prior_strides=(2, 4))
        >>> fuse = spe([torch.rand(1, 16, 16, 24), torch.rand(1, 16, 8, 12)])
        >>> fuse('dec1', torch.rand(1, 8, 32, 48)).shape
        torch.Size([1, 8, 32, 48])
    """

    def __init__(
        self,
        seams: Mapping[str, SeamSpec],
        prior_channels: Sequence[int],
        prior_strides: Sequence[int],
        mla: Optional[Dict[str, Any]] = MULTI_LEVEL,
        fusion: Dict[str, Any] = SEMANTIC_ATTENTION,
    ) -> None:
        super().__init__()
        self.levels = {name: seam.level for name, seam in seams.items()}
        self.mla = None
        if mla is not None:
            self.mla = nn.ModuleDict(
                {
                    str(level): build_model(mla, channels=prior_channels, level=level)
                    for level in sorted(set(self.levels.values()))
                }
            )
        self.fusions = nn.ModuleDict(
            {
                _key(name): build_model(
                    fusion,
                    prior_channels=prior_channels[seam.level],
                    channels=seam.channels,
                    scale=prior_strides[seam.level] / seam.stride,
                )
                for name, seam in seams.items()
            }
        )

    def forward(self, prior: Sequence[Tensor]) -> FuseFn:
        """Aggregate a prior and return the ``fuse`` function for a restorer.

        Args:
            prior: The levels f_pri^1 ... f_pri^L, each ``(N, C_i, H_i, W_i)``, fine to coarse.

        Returns:
            The ``fuse`` function for :meth:`Restorer.forward`. At a seam that is not in
            :attr:`levels`, this function returns the decoder feature unchanged. If a restorer
            splits each image into K adjacent features of a batch of K N, such as its color planes,
            all of them get the prior of their image.
        """
        return partial(self._fuse, self.aggregate(prior))

    def aggregate(self, prior: Sequence[Tensor]) -> Dict[int, Tensor]:
        """Compute M_pri of every level that a seam uses (Eq. 5).

        Args:
            prior: The levels f_pri^1 ... f_pri^L, each ``(N, C_i, H_i, W_i)``, fine to coarse.

        Returns:
            A dict from the index of each of these levels to its M_pri, ``(N, C_i, H_i, W_i)``.
        """
        levels = sorted(set(self.levels.values()))
        if self.mla is None:
            return {level: prior[level] for level in levels}
        return {level: self.mla[str(level)](prior) for level in levels}

    def modulation(
        self, aggregated: Mapping[int, Tensor]
    ) -> Iterator[Tuple[str, Tuple[Tensor, Tensor]]]:
        """Compute mu - 1 and sigma of each seam, for visualization.

        The maps are computed for one seam at a time, because they are large.

        Args:
            aggregated: The result of :meth:`aggregate`.

        Yields:
            The name of each seam with SAT fusion, and the result of :meth:`SAT.modulation` at that
            seam.
        """
        for name, level in self.levels.items():
            fusion = self.fusions[_key(name)]
            if hasattr(fusion, 'modulation'):
                yield name, cast(SAT, fusion).modulation(aggregated[level])

    def _fuse(self, aggregated: Dict[int, Tensor], seam: str, dec: Tensor) -> Tensor:
        if seam not in self.levels:
            return dec
        prior = aggregated[self.levels[seam]]
        parts = dec.shape[0] // prior.shape[0]
        if parts > 1:
            prior = prior.repeat_interleave(parts, dim=0)
        return self.fusions[_key(seam)](prior, dec)


def _key(seam: str) -> str:
    """Convert the name of a seam to a key of a module dict, which must not contain dots."""
    return seam.replace('.', '_')
