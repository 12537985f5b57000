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
    """What the embedding needs to know of a seam."""

    channels: int
    stride: int
    level: int


@MODELS.register_module()
class SPE(nn.Module):
    """Semantic prior embedding: aggregates the prior and fuses it at every seam.

    Args:
        seams: channels, stride and prior level of every seam, by name; read from the restorer by
            :class:`~mmspd.models.guided.SemanticGuided`, never written in a config.
        prior_channels: channels of the prior's levels; from the prior branch.
        prior_strides: strides of the prior's levels; from the prior branch.
        mla: config of the multi-level aggregation; ``None`` leaves it out (Net1-4 of the paper's
            Table 4).
        fusion: config of the fusion, ``mmspd.SAT``, ``mmspd.AddFusion`` or ``mmspd.ConcatFusion``.
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
        """Aggregate a prior and return the ``fuse`` that brings it into a restorer.

        Args:
            prior: f_pri^1 ... f_pri^L, each ``(N, C_i, H_i, W_i)``, fine to coarse.

        Returns:
            A function for :meth:`Restorer.forward`; it leaves seams that are not its own alone.
        """
        return partial(self._fuse, self.aggregate(prior))

    def aggregate(self, prior: Sequence[Tensor]) -> Dict[int, Tensor]:
        """Compute M_pri of every level that some seam takes (Eq. 5), by level index."""
        levels = sorted(set(self.levels.values()))
        if self.mla is None:
            return {level: prior[level] for level in levels}
        return {level: self.mla[str(level)](prior) for level in levels}

    def modulation(
        self, aggregated: Mapping[int, Tensor]
    ) -> Iterator[Tuple[str, Tuple[Tensor, Tensor]]]:
        """Compute mu - 1 and sigma for viewing; one seam at a time, because they are large.

        Args:
            aggregated: what :meth:`aggregate` returned.

        Yields:
            Each seam where the fusion is SAT, and what :meth:`SAT.modulation` returns there.
        """
        for name, level in self.levels.items():
            fusion = self.fusions[_key(name)]
            if hasattr(fusion, 'modulation'):
                yield name, cast(SAT, fusion).modulation(aggregated[level])

    def _fuse(self, aggregated: Dict[int, Tensor], seam: str, dec: Tensor) -> Tensor:
        if seam not in self.levels:
            return dec
        return self.fusions[_key(seam)](aggregated[self.levels[seam]], dec)


def _key(seam: str) -> str:
    """Name of a seam as a key of a module dict, which may not hold dots."""
    return seam.replace('.', '_')
