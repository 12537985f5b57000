"""Compute the prior of an image, and its effect, as arrays and numbers."""

from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmspd.errors import UsageError, UserError
from mmspd.models.guided import SemanticGuided
from mmspd.models.layers.padding import crop_to
from mmspd.utils.psnr import psnr
from mmspd.visualization.pictures import to_uint8

__all__ = ['LevelView', 'PriorView', 'SeamView', 'view_prior']


class LevelView(NamedTuple):
    """Maps of one level of the prior.

    A seam is a place where the prior enters the restorer.

    ``student``, ``teacher`` and ``similarity`` are ``None`` if there is no sharp image or if the
    model has no teacher.

    Attributes:
        stride: Number of image pixels per pixel of ``prior`` and ``aggregated``, in each direction.
        prior: Prior f_pri, ``(C, h, w)``; for a segmentation prior, the probabilities or the
            one-hot maps of the classes.
        aggregated: Aggregated prior M_pri, ``(C, h, w)``, the input of the seams of this level;
            ``None`` if no seam uses this level.
        student: Features ``(T, h, w)`` to compare with the teacher: the output of the head, or the
            probabilities of the classes.
        teacher: Features f_gt of the teacher, ``(T, h, w)``.
        similarity: Cosine similarity ``(h, w)`` of student and teacher over the channels, in
            [-1, 1].
        teacher_stride: As ``stride``, for ``student``, ``teacher`` and ``similarity``. It is a
            multiple of ``stride``.
    """

    stride: int
    prior: np.ndarray
    aggregated: Optional[np.ndarray]
    student: Optional[np.ndarray] = None
    teacher: Optional[np.ndarray] = None
    similarity: Optional[np.ndarray] = None
    teacher_stride: Optional[int] = None


class SeamView(NamedTuple):
    """Scale mu and shift sigma of SAT (Eq. 6) at one seam, at the resolution of the prior.

    Attributes:
        level: Index of the prior's level that the seam uses.
        mu: Mean of mu over the channels, ``(h, w)``. The value 1 does not change the features.
        sigma: Mean of sigma over the channels, ``(h, w)``. The value 0 does not change the
            features.
        mu_change: Mean of ``|mu - 1|`` over channels and pixels.
        mu_spread: Standard deviation of mu over the pixels, averaged over the channels. It shows
            how much mu depends on the position in the image.
        sigma_size: Mean of ``|sigma|`` over channels and pixels.
        sigma_spread: Standard deviation of sigma over the pixels, averaged over the channels.
    """

    level: int
    mu: np.ndarray
    sigma: np.ndarray
    mu_change: float
    mu_spread: float
    sigma_size: float
    sigma_spread: float


class PriorView(NamedTuple):
    """The prior of one image, and its effect.

    Attributes:
        blurry: Blurry image ``(H, W, 3)``, RGB, uint8.
        restored: Result of the model, ``(H, W, 3)``, RGB, uint8.
        sharp: Sharp image ``(H, W, 3)``, RGB, uint8; ``None`` if it was not given.
        levels: Levels of the prior, fine to coarse.
        seams: A dict from the name of each seam with SAT fusion to its view.
        classes: Number of classes if the prior is a segmentation map, else ``None``.
        notes: Reasons for missing parts, one sentence each.
    """

    blurry: np.ndarray
    restored: np.ndarray
    sharp: Optional[np.ndarray]
    levels: List[LevelView]
    seams: Dict[str, SeamView]
    classes: Optional[int]
    notes: Tuple[str, ...]

    def psnr(self) -> Optional[Tuple[float, float]]:
        """Compute the PSNR of the blurry image and of the restored image.

        Returns:
            The PSNR of the blurry and of the restored image in dB; ``None`` without a sharp image.
        """
        if self.sharp is None:
            return None
        return psnr(self.blurry, self.sharp), psnr(self.restored, self.sharp)

    def numbers(self) -> Dict[str, Any]:
        """Summarize the view in numbers that can be written as JSON.

        Returns:
            A dict with ``psnr``, ``levels`` and ``seams``. ``psnr`` is a dict with ``blurry`` and
            ``restored``. Without a sharp image, there is no ``psnr``. ``levels`` is a list with a
            dict for each level: the ``stride`` and, if the view has it, the mean ``similarity``.
            ``seams`` is a dict from the name of each seam to a dict with its ``level`` (1 is the
            finest) and the other numbers of :class:`SeamView`.
        """
        numbers: Dict[str, Any] = {}
        values = self.psnr()
        if values is not None:
            numbers['psnr'] = dict(zip(('blurry', 'restored'), values))
        numbers['levels'] = [{'stride': level.stride} for level in self.levels]
        for entry, level in zip(numbers['levels'], self.levels):
            if level.similarity is not None:
                entry['similarity'] = float(level.similarity.mean())
        numbers['seams'] = {}
        for name, seam in self.seams.items():
            entry = seam._replace(level=seam.level + 1)._asdict()
            del entry['mu'], entry['sigma']
            numbers['seams'][name] = entry
        return numbers


@torch.no_grad()
def view_prior(model: nn.Module, blurry: Tensor, sharp: Optional[Tensor] = None) -> PriorView:
    """Compute the prior of an image and its effect.

    Args:
        model: A :class:`~mmspd.models.deblurrer.SemanticPriorDeblurrer` in evaluation mode, or
            another model whose ``generator`` is a guided restorer.
        blurry: Blurry image ``(1, 3, H, W)``, RGB, [0, 1], of any size, on the device of the model.
        sharp: Sharp image of the same shape. If it is given and the model has a teacher, the
            teacher is built and the prior is compared with the teacher's features.

    Returns:
        The maps and numbers. :class:`~mmspd.visualization.prior_picture.Palette` and
        :func:`~mmspd.visualization.prior_picture.draw_rows` draw the maps.

    Raises:
        UserError: The model has no guided generator, the weights of the teacher are not available,
            or the prior has values that are not finite.

    Examples:
        >>> import torch
        >>> from mmspd.registry import build_model
        >>> from mmspd.visualization import view_prior
        >>> generator = dict(
        ...     type='mmspd.SemanticGuided',
        ...     restorer=dict(type='mmspd.UNet', base=4, num_res=1),
        ...     prior=dict(type='mmspd.SPL', extractor=dict(type='mmspd.ConvExtractor', width=4)),
        ...     embedding=dict(type='mmspd.SPE'),
        ... )
        >>> losses = dict(loss_pix=dict(type='mmagic.L1Loss'))
        >>> config = dict(type='mmspd.SemanticPriorDeblurrer', generator=generator, losses=losses)
        >>> view = view_prior(build_model(config).eval(), torch.rand(1, 3, 32, 48))
        >>> [level.prior.shape[1:] for level in view.levels]
        [(16, 24), (8, 12), (4, 6)]
        >>> view.seams['dec1'].mu_change  # an untrained prior changes nothing
        0.0
    """
    generator = getattr(model, 'generator', None)
    if not isinstance(generator, SemanticGuided):
        raise UsageError(
            f'The {type(model).__name__} has no guided generator, so there is no prior to view; '
            'use the config of a guided restorer (*_sp*).'
        )
    prior_loss = getattr(model, 'prior_loss', None)
    height, width = blurry.shape[-2:]
    strides = generator.prior.strides
    prior = generator.compute_prior(blurry)
    guidance = generator.prior.guidance(prior)
    aggregated = generator.embedding.aggregate(guidance)

    def cut(feature: Tensor, stride: int) -> Tensor:
        """Return the part of a map that covers the image without the padding."""
        part = crop_to(feature, height, width, stride)[0].float().cpu()
        if not part.isfinite().all():
            raise UserError(
                'The prior has values that are not finite, so its weights are broken; use another '
                'checkpoint.'
            )
        return part

    levels = [
        LevelView(
            stride=stride,
            prior=cut(guidance[i], stride).numpy(),
            aggregated=cut(aggregated[i], stride).numpy() if i in aggregated else None,
        )
        for i, stride in enumerate(strides)
    ]
    if sharp is not None and prior_loss is not None:
        teacher_features: Any = model.teacher_features
        features = teacher_features(blurry, sharp)
        for i, (own, target) in enumerate(zip(prior_loss.project(prior, features), features)):
            stride = strides[i] * round(prior[i].shape[-1] / target.shape[-1])
            own, target = cut(own, stride), cut(target, stride)
            levels[i] = levels[i]._replace(
                student=own.numpy(),
                teacher=target.numpy(),
                similarity=F.cosine_similarity(own, target, dim=0).numpy(),
                teacher_stride=stride,
            )
    seams = {}
    for name, maps in generator.embedding.modulation(aggregated):
        level = generator.embedding.levels[name]
        change, sigma = (cut(each, strides[level]) for each in maps)
        seams[name] = SeamView(
            level=level,
            mu=(1 + change.mean(0)).numpy(),
            sigma=sigma.mean(0).numpy(),
            mu_change=change.abs().mean().item(),
            mu_spread=change.flatten(1).std(1, correction=0).mean().item(),
            sigma_size=sigma.abs().mean().item(),
            sigma_spread=sigma.flatten(1).std(1, correction=0).mean().item(),
        )
    return PriorView(
        blurry=to_uint8(blurry[0]),
        restored=to_uint8(generator.restore_with_prior(blurry, prior)[-1][0]),
        sharp=None if sharp is None else to_uint8(sharp[0]),
        levels=levels,
        seams=seams,
        classes=generator.prior.classes,
        notes=tuple(_notes(generator, sharp is not None and prior_loss is None)),
    )


def _notes(generator: SemanticGuided, lacks_teacher: bool) -> Iterator[str]:
    """Yield the reason for each missing part of the view, one sentence each."""
    fusions = generator.embedding.fusions.values()
    others = {type(fusion).__name__ for fusion in fusions if not hasattr(fusion, 'modulation')}
    if others:
        yield f'There is no mu and sigma, because the fusion is {" or ".join(sorted(others))}.'
    if lacks_teacher:
        yield 'There is no similarity, because the model has no teacher.'
