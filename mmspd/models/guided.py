"""SemanticGuided: a restorer, the prior it is guided by, and the layer where they meet (Fig. 1)."""

import math
from functools import partial
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.models.embeddings.spe import SeamSpec
from mmspd.models.layers.activation_checkpointing import checkpointed
from mmspd.models.layers.padding import pad_to_multiple
from mmspd.models.restorers.base import check_outputs
from mmspd.models.seams import HookSeams, Seam, probe_seams, takes_fuse
from mmspd.registry import MODELS, build_model

__all__ = ['SemanticGuided', 'as_list']

SeamEntry = Union[str, Dict[str, Any]]


def as_list(outputs: Union[Tensor, Sequence[Tensor]]) -> List[Tensor]:
    """Return a restorer's outputs as a list, the full-resolution result last."""
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


@MODELS.register_module()
class SemanticGuided(BaseModule):
    """Any restorer, guided by a semantic prior: the network that runs at inference.

    Official weights of the restorer load strictly into the child ``restorer``. At the start the
    output equals the restorer's own, bit for bit (with ``ConcatFusion``, up to rounding).

    Args:
        restorer: config or module. One that takes ``fuse`` has seams of its own; any other gets
            them through :class:`~mmspd.models.seams.HookSeams`, at the inputs of the modules
            that ``seams`` names.
        seams: their names, or ``dict(name=..., level=...)``. ``level`` is the prior's
            level, 0 the finest; by default the rank of the seam's stride among all of them
            (finest seam, finest prior), for a restorer of several U-Nets within the seam's own
            (its ``seam_groups``). ``None`` for all seams of the restorer.
        prior: config of the prior branch, ``mmspd.SPL`` or ``mmspd.SegmapSPL``.
        embedding: config of the embedding layer, ``mmspd.SPE``; its channels and strides are
            read from the restorer, not stated.
        outputs: ``'all'`` for every output of the restorer, ``'last'`` for the full-resolution
            image alone, which plain MMagic models expect.
        with_cp: recompute activations in the backward pass to save memory: those of the restorer,
            of the prior branch (whose batch normalizations, where an F_S has any, then note the
            statistics of a step twice) and of the embedding.
        with_embedding_cp: recompute those of the embedding alone while training. It takes a
            third of what the prior adds to the memory of a step for 1 to 4 % of its time.
        detach_prior: keep the gradient of the restoration losses out of the prior branch, which
            then learns from its teacher alone.

    Attributes:
        multiple: the prior sees the image padded to this multiple.

    Raises:
        UserError: a seam does not exist, never runs, runs more than once, or gets no level.
    """

    def __init__(
        self,
        restorer: Union[Dict[str, Any], nn.Module],
        prior: Dict[str, Any],
        embedding: Dict[str, Any],
        seams: Optional[Sequence[SeamEntry]] = None,
        outputs: str = 'all',
        with_cp: bool = False,
        with_embedding_cp: bool = True,
        detach_prior: bool = False,
    ) -> None:
        super().__init__()
        self.detach_prior = detach_prior
        self.outputs = check_outputs(outputs)
        entries = None if seams is None else _as_entries(seams)
        seamed: Any = _with_seams(build_model(restorer), entries)
        self.with_cp = with_cp
        self.with_embedding_cp = with_embedding_cp
        if with_cp:
            seamed.with_cp = True
        self.restorer = seamed
        self.prior = build_model(prior)
        names = None if entries is None else [entry['name'] for entry in entries]
        probe = probe_seams(self.restorer, names)
        stated = {entry['name']: entry.get('level') for entry in entries or []}
        specs = _assign_levels(
            probe.seams,
            stated,
            len(self.prior.channels),
            getattr(self.restorer, 'seam_groups', ()),
        )
        places = [f'{name} (stride {s.stride}) level {s.level}' for name, s in specs.items()]
        print_log(f'The prior enters at {", ".join(places)}', 'current')
        self.embedding = build_model(
            embedding,
            seams=specs,
            prior_channels=self.prior.channels,
            prior_strides=self.prior.strides,
        )
        self.multiple = math.lcm(self.prior.multiple, probe.multiple)

    def forward(self, img: Tensor) -> Union[Tensor, List[Tensor]]:
        """Restore an image.

        Args:
            img: blurry image ``(N, 3, H, W)``, RGB, [0, 1], any size the restorer takes.

        Returns:
            The restorer's outputs as a list, the last one ``(N, 3, H, W)``; only that one with
            ``outputs='last'``.
        """
        outputs = self.forward_with_prior(img)[0]
        return outputs[-1] if self.outputs == 'last' else outputs

    def forward_with_prior(self, img: Tensor) -> Tuple[List[Tensor], List[Tensor]]:
        """Restore an image and return the prior too, for the distillation loss.

        Returns:
            All outputs of the restorer, and f_pri^1 ... f_pri^L, fine to coarse, of the image
            padded to :attr:`multiple`.
        """
        prior = self.compute_prior(img)
        return self.restore_with_prior(img, prior), prior

    def compute_prior(self, img: Tensor) -> List[Tensor]:
        """Extract the prior of an image.

        Args:
            img: blurry image ``(N, 3, H, W)``, RGB, [0, 1].

        Returns:
            f_pri^1 ... f_pri^L, fine to coarse, of the image padded to :attr:`multiple`.
        """
        return checkpointed(self.with_cp, self.prior, pad_to_multiple(img, self.multiple))

    def restore_with_prior(self, img: Tensor, prior: Sequence[Tensor]) -> List[Tensor]:
        """Restore an image with a prior that is at hand.

        Args:
            img: blurry image, as for :meth:`forward`; or a crop of one that starts at multiples
                of :attr:`multiple`.
            prior: what :meth:`compute_prior` returned; or, level by level, the same crop of it.

        Returns:
            All outputs of the restorer, the full-resolution result last.
        """
        if self.detach_prior:
            prior = [level.detach() for level in prior]
        with_cp = self.with_cp or (self.with_embedding_cp and self.training)
        fuse = checkpointed(with_cp, self.embedding, self.prior.guidance(prior))
        return as_list(self.restorer(img, partial(checkpointed, with_cp, fuse)))


def _as_entries(seams: Sequence[SeamEntry]) -> List[Dict[str, Any]]:
    """Entries of ``seams`` as dicts, each seam once."""
    if isinstance(seams, str):
        raise UserError(
            f'seams must be a list of seams, but got {seams!r}; write seams=[{seams!r}].'
        )
    entries = [{'name': entry} if isinstance(entry, str) else dict(entry) for entry in seams]
    for entry in entries:
        if 'name' not in entry or entry.keys() - {'name', 'level'}:
            raise UserError(
                f'An entry of seams must be a name or dict(name=..., level=...), but got {entry!r}.'
            )
    names = [entry['name'] for entry in entries]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f'seams names the seam {twice[0]!r} more than once; name each seam once.')
    return entries


def _with_seams(restorer: nn.Module, entries: Optional[List[Dict[str, Any]]]) -> nn.Module:
    """Give seams to a restorer that has none."""
    if takes_fuse(restorer):
        return restorer
    if entries is None:
        raise UserError(
            f'{type(restorer).__name__} has no seams of its own; state seams=[...], the names of '
            'its decoder modules.'
        )
    return HookSeams(restorer, [entry['name'] for entry in entries])


def _assign_levels(
    seams: Dict[str, Seam],
    stated: Dict[str, Optional[int]],
    num_levels: int,
    groups: Sequence[Sequence[str]],
) -> Dict[str, SeamSpec]:
    """Give every seam its level of the prior: the stated one, or the rank of its stride.

    The rank is among the seams in use of its group; a seam in no group is ranked among all.
    """
    specs = {}
    for name, seam in seams.items():
        level = stated.get(name)
        if level is None:
            peers = next((group for group in groups if name in group), tuple(seams))
            strides = sorted({seams[peer].stride for peer in peers if peer in seams})
            level = strides.index(seam.stride)
        if not 0 <= level < num_levels:
            raise UserError(
                f'Seam {name!r} at stride {seam.stride} would take level {level} of a prior with '
                f'{num_levels} levels; leave it out of seams, or state '
                f'dict(name={name!r}, level=0...{num_levels - 1}).'
            )
        specs[name] = SeamSpec(seam.channels, seam.stride, level)
    return specs
