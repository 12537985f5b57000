"""SemanticGuided: a restorer with a prior branch and an embedding layer (Fig. 1)."""

import math
from functools import partial
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.models.embeddings.spe import SeamSpec
from mmspd.models.layers.activation_checkpointing import checkpointed
from mmspd.models.layers.any_size import SizeLimits, accept_any_size
from mmspd.models.layers.padding import pad_to_multiple, round_up
from mmspd.models.restorers.base import check_outputs
from mmspd.models.seams import HookSeams, Seam, probe_seams, takes_fuse
from mmspd.registry import MODELS, build_model

__all__ = ['SemanticGuided', 'as_list']

SeamEntry = Union[str, Dict[str, Any]]


def as_list(outputs: Union[Tensor, Sequence[Tensor]]) -> List[Tensor]:
    """Return the outputs of a restorer as a list.

    Args:
        outputs: One image or a sequence of images, the full-resolution result last.

    Returns:
        A list of images in the same order.
    """
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


@MODELS.register_module()
class SemanticGuided(BaseModule):
    """Guides a restorer with a semantic prior; inference needs no other network.

    Official weights of the restorer load strictly into the child ``restorer``. Before training, the
    output equals the output of the plain restorer exactly (with ``ConcatFusion``, up to rounding).

    Args:
        restorer: Config or module. A restorer with the argument ``fuse`` in its ``forward`` defines
            its own seams. Any other restorer is wrapped in :class:`~mmspd.models.seams.HookSeams`;
            its seams are then the inputs of the modules that ``seams`` names.
        seams: Names of the seams, or ``dict(name=..., level=...)``. ``level`` is the level of the
            prior, 0 for the finest. The default level is the rank of the seam's stride: the finest
            seam gets the finest level. In a restorer of several U-Nets, seams are ranked only among
            the seams of their own U-Net (``seam_groups``). ``None`` uses all seams of the restorer.
        prior: Config of the prior branch, ``mmspd.SPL`` or ``mmspd.SegmapSPL``.
        embedding: Config of the embedding layer, ``mmspd.SPE``. Its channels and strides are read
            from the restorer and the prior.
        outputs: ``'all'`` returns every output of the restorer, ``'last'`` only the full-resolution
            image. MMagic's models need ``'last'``.
        with_cp: Recompute the activations of restorer, prior branch and embedding in the backward
            pass to save memory. Batch normalizations in the extractor F_S then update their running
            statistics twice per step.
        with_embedding_cp: Recompute only the activations of the embedding during training. This
            saves a third of the memory that the prior adds to a training step. The step takes 1 to
            4 % longer.
        detach_prior: Stop the gradient of the restoration losses at the prior. The prior branch
            then learns only from the teacher.

    Attributes:
        multiple: For the prior branch, the height and width of the image are padded to multiples of
            this number of pixels.
        smallest: For the prior branch, the height and width are padded at least to this number.
        size_limits: No limits, because the restorer and the prior branch pad the image.
        clipped_apart: Name of the child whose gradients ``mmspd.OptimWrapper`` clips apart from all
            other gradients.

    Raises:
        UserError: A seam does not exist, never runs, runs more than once, or needs a level that the
            prior does not have. The restorer changes the size of the image.

    Examples:
        >>> import torch
        >>> from mmspd.registry import build_model
        >>> guided = build_model(
        ...     dict(
        ...         type='mmspd.SemanticGuided',
        ...         restorer=dict(type='mmspd.UNet', base=4, num_res=1),
        ...         prior=dict(type='mmspd.SPL'),
        ...         embedding=dict(type='mmspd.SPE'),
        ...     )
        ... )
        >>> guided.embedding.levels  # the level of the prior at each seam
        {'dec3': 2, 'dec2': 1, 'dec1': 0}
        >>> outputs, prior = guided.forward_with_prior(torch.rand(1, 3, 32, 48))
        >>> [tuple(level.shape) for level in prior]
        [(1, 48, 16, 24), (1, 48, 8, 12), (1, 48, 4, 6)]
        >>> outputs[-1].shape
        torch.Size([1, 3, 32, 48])
    """

    clipped_apart = 'restorer'
    size_limits = SizeLimits()

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
        print_log(f'The prior enters at {", ".join(places)}.', 'current')
        self.embedding = build_model(
            embedding,
            seams=specs,
            prior_channels=self.prior.channels,
            prior_strides=self.prior.strides,
        )
        self.multiple = math.lcm(self.prior.multiple, probe.multiple)
        self.smallest = round_up(probe.smallest, self.multiple)

    def forward(self, img: Tensor) -> Union[Tensor, List[Tensor]]:
        """Restore an image.

        Args:
            img: Blurry image ``(N, 3, H, W)``, RGB, [0, 1], any H and W.

        Returns:
            A list of the restorer's outputs; the last output is ``(N, 3, H, W)``. With
            ``outputs='last'``, only the last output, as a tensor.
        """
        outputs = self.forward_with_prior(img)[0]
        return outputs[-1] if self.outputs == 'last' else outputs

    def forward_with_prior(self, img: Tensor) -> Tuple[List[Tensor], List[Tensor]]:
        """Restore an image and return the prior too, for the distillation loss.

        Args:
            img: Blurry image ``(N, 3, H, W)``, RGB, [0, 1].

        Returns:
            A list of the restorer's outputs, and a list of the levels f_pri^1 ... f_pri^L of the
            prior, fine to coarse. The prior is computed from the image padded by :meth:`pad`.
        """
        prior = self.compute_prior(img)
        return self.restore_with_prior(img, prior), prior

    def compute_prior(self, img: Tensor) -> List[Tensor]:
        """Compute the prior of an image.

        Args:
            img: Blurry image ``(N, 3, H, W)``, RGB, [0, 1].

        Returns:
            The levels f_pri^1 ... f_pri^L, fine to coarse, computed from the image padded by
            :meth:`pad`.
        """
        return checkpointed(self.with_cp, self.prior, self.pad(img))

    def pad(self, img: Tensor) -> Tensor:
        """Pad an image for the prior branch and for a teacher.

        Args:
            img: Blurry or sharp image ``(N, 3, H, W)``, RGB, [0, 1].

        Returns:
            The image with height and width rounded up to multiples of :attr:`multiple`, at least
            :attr:`smallest`.
        """
        return pad_to_multiple(img, self.multiple, smallest=self.smallest)

    def restore_with_prior(self, img: Tensor, prior: Sequence[Tensor]) -> List[Tensor]:
        """Restore an image with a prior that was computed before.

        Args:
            img: Blurry image ``(N, 3, H, W)``, RGB, [0, 1], or a crop of the image. The top left
                corner of a crop must be at multiples of :attr:`multiple`.
            prior: The result of :meth:`compute_prior` for the image. For a crop, each level must be
                cropped to the same region.

        Returns:
            All outputs of the restorer, the full-resolution result last.
        """
        if self.detach_prior:
            prior = [level.detach() for level in prior]
        with_cp = self.with_cp or (self.with_embedding_cp and self.training)
        fuse = checkpointed(with_cp, self.embedding, self.prior.guidance(prior))
        return as_list(self.restorer(img, partial(checkpointed, with_cp, fuse)))


def _as_entries(seams: Sequence[SeamEntry]) -> List[Dict[str, Any]]:
    """Convert ``seams`` to a list of dicts and check that no seam occurs twice."""
    if isinstance(seams, str):
        raise UserError(f'seams={seams!r} is not a list; write seams=[{seams!r}].')
    entries = [{'name': entry} if isinstance(entry, str) else dict(entry) for entry in seams]
    for entry in entries:
        if 'name' not in entry or entry.keys() - {'name', 'level'}:
            raise UserError(
                f'The list seams has the entry {entry!r}; write a name or '
                'dict(name=..., level=...).'
            )
    names = [entry['name'] for entry in entries]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(
            f'The list seams contains {twice[0]!r} more than once; name each seam once.'
        )
    return entries


def _with_seams(restorer: nn.Module, entries: Optional[List[Dict[str, Any]]]) -> nn.Module:
    """Wrap a restorer in :class:`HookSeams` if it does not define seams itself."""
    if takes_fuse(restorer):
        accept_any_size(restorer)
        return restorer
    if entries is None:
        raise UserError(
            f'{type(restorer).__name__} does not define seams; set seams=[...] to the names of '
            'its decoder modules.'
        )
    return HookSeams(restorer, [entry['name'] for entry in entries])


def _assign_levels(
    seams: Dict[str, Seam],
    stated: Dict[str, Optional[int]],
    num_levels: int,
    groups: Sequence[Sequence[str]],
) -> Dict[str, SeamSpec]:
    """Assign a level of the prior to each seam: the configured level, or the rank of its stride.

    The rank is 0 for the smallest stride. Each of the ``groups`` contains the seams of one U-Net. A
    seam is ranked among the used seams of its group. A seam without a group is ranked among all
    used seams.
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
                f'Seam {name!r} at stride {seam.stride} needs level {level}, but the prior has '
                f'only {num_levels} levels; remove it from seams, or write '
                f'dict(name={name!r}, level=0...{num_levels - 1}).'
            )
        specs[name] = SeamSpec(seam.channels, seam.stride, level)
    return specs
