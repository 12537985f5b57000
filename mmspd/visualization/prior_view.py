"""The prior of one image, and its effect, as plain arrays and numbers."""

from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.models.guided import SemanticGuided
from mmspd.models.layers.padding import crop_to
from mmspd.utils.psnr import psnr
from mmspd.visualization.pictures import to_uint8

__all__ = ['LevelView', 'PriorView', 'SeamView', 'view_prior']


class LevelView(NamedTuple):
    """One level of the prior.

    Attributes:
        stride: pixels of the image per pixel of the maps.
        prior: f_pri ``(C, h, w)``; for an image-level prior the probabilities of the classes.
        aggregated: M_pri ``(C, h, w)``, what the seams of this level take; ``None`` if there are
            none.
        student: what the prior loss compares, the head's output ``(T, h, w)`` or the
            probabilities; ``None`` without a sharp image or a teacher, as the next two.
        teacher: f_gt ``(T, h, w)``.
        similarity: cosine of student and teacher over the channels, ``(h, w)``, -1 ... 1.
    """

    stride: int
    prior: np.ndarray
    aggregated: Optional[np.ndarray]
    student: Optional[np.ndarray] = None
    teacher: Optional[np.ndarray] = None
    similarity: Optional[np.ndarray] = None


class SeamView(NamedTuple):
    """What SAT does at one seam, at the prior's resolution.

    Attributes:
        level: index of the prior's level that the seam takes.
        mu: mean over the channels of mu, ``(h, w)``; 1 changes nothing.
        sigma: likewise of sigma; 0 changes nothing.
        mu_change: mean of ``|mu - 1|`` over channels and pixels.
        mu_spread: standard deviation of mu over the pixels, averaged over the channels: how much
            of it depends on the place in the image.
        sigma_size: as ``mu_change``, of ``|sigma|``.
        sigma_spread: likewise of sigma.
    """

    level: int
    mu: np.ndarray
    sigma: np.ndarray
    mu_change: float
    mu_spread: float
    sigma_size: float
    sigma_spread: float


class PriorView(NamedTuple):
    """The prior of one image, and what it does.

    Attributes:
        blurry: ``(H, W, 3)``, RGB, uint8, as the next two.
        restored: the model's result.
        sharp: ``None`` where it is not known.
        levels: the levels of the prior, fine to coarse.
        seams: the seams where the fusion is SAT, by name.
        classes: number of classes where the prior is a segmentation map, else ``None``.
        notes: why something is missing, a sentence each.
    """

    blurry: np.ndarray
    restored: np.ndarray
    sharp: Optional[np.ndarray]
    levels: List[LevelView]
    seams: Dict[str, SeamView]
    classes: Optional[int]
    notes: Tuple[str, ...]

    def psnr(self) -> Optional[Tuple[float, float]]:
        """PSNR of the blurry and of the restored image in dB; ``None`` without a sharp one."""
        if self.sharp is None:
            return None
        return psnr(self.blurry, self.sharp), psnr(self.restored, self.sharp)

    def numbers(self) -> Dict[str, Any]:
        """The view in numbers, ready for JSON.

        Returns:
            ``psnr`` (``blurry``, ``restored``; where there is a sharp image); ``levels``, each
            with ``stride`` and, where there is a teacher, the mean ``similarity``; ``seams`` by
            name, each with ``level`` (1 the finest) and the numbers of :class:`SeamView`.
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
    """View the prior of one image.

    Args:
        model: a :class:`~mmspd.models.deblurrer.SemanticPriorDeblurrer` in evaluation mode, or
            another model whose ``generator`` is guided.
        blurry: ``(1, 3, H, W)``, RGB, [0, 1], any size, on the model's device.
        sharp: likewise, of the same size; with it the prior is compared with the features of the
            model's teacher, if it has one, which is built for that.

    Returns:
        Maps and numbers, on the CPU; :mod:`mmspd.visualization.prior_picture` draws them.

    Raises:
        UserError: the model has no guided generator, the teacher's weights cannot be had, or
            there are values that are not finite.
    """
    generator = getattr(model, 'generator', None)
    if not isinstance(generator, SemanticGuided):
        raise UserError(
            f'The {type(model).__name__} has no guided generator, so there is no prior to view: '
            'use the config of a guided restorer (*_sp*).'
        )
    prior_loss = getattr(model, 'prior_loss', None)
    height, width = blurry.shape[-2:]
    strides = generator.prior.strides
    prior = generator.compute_prior(blurry)
    guidance = generator.prior.guidance(prior)
    aggregated = generator.embedding.aggregate(guidance)

    def cut(feature: Tensor, stride: int) -> Tensor:
        """The part of a map that belongs to the image and not to its padding."""
        part = crop_to(feature, height, width, stride)[0].float().cpu()
        if not part.isfinite().all():
            raise UserError(
                'the prior has values that are not finite: its weights are broken, take another '
                'checkpoint'
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
        for i, (own, target) in enumerate(zip(prior_loss.project(prior), features)):
            own, target = cut(own, strides[i]), cut(target, strides[i])
            levels[i] = levels[i]._replace(
                student=own.numpy(),
                teacher=target.numpy(),
                similarity=F.cosine_similarity(own, target, dim=0).numpy(),
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
    """Tell why something is missing that a reader of the paper expects."""
    fusions = generator.embedding.fusions.values()
    others = {type(fusion).__name__ for fusion in fusions if not hasattr(fusion, 'modulation')}
    if others:
        yield f'no mu and sigma where the fusion is {" or ".join(sorted(others))}'
    if lacks_teacher:
        yield 'no similarity, as the model has no teacher'
