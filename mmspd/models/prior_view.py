"""Looking at the prior of a guided restorer."""

from typing import Iterator, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.models.guided import SemanticGuided
from mmspd.models.padding import crop_to, pad_to_multiple
from mmspd.utils.pictures import to_uint8
from mmspd.utils.prior_view import LevelView, PriorView, SeamView

__all__ = ['view_prior']


@torch.no_grad()
def view_prior(
    generator: SemanticGuided,
    blurry: Tensor,
    sharp: Optional[Tensor] = None,
    distillation: Optional[Tuple[nn.Module, nn.Module]] = None,
) -> PriorView:
    """Look at the prior of one image; see :class:`~mmspd.utils.prior_view.PriorView`.

    Args:
        generator: in evaluation mode.
        blurry: ``(1, 3, H, W)``, RGB, [0, 1], any size, on the generator's device.
        sharp: likewise, of the same size.
        distillation: prior loss and teacher, with which the prior is compared where ``sharp`` is
            given.

    Returns:
        What was seen, on the CPU.

    Raises:
        UserError: there are values that are not finite.
    """
    size = tuple(blurry.shape[-2:])
    strides = generator.prior.strides
    prior = generator.compute_prior(blurry)
    shown = generator.prior.guidance(prior)
    aggregated = generator.embedding.aggregate(shown)

    def cut(feature: Tensor, stride: int) -> Tensor:
        """The part of a map that belongs to the image and not to its padding."""
        part = crop_to(feature, *size, stride)[0].float().cpu()
        if not part.isfinite().all():
            raise UserError(
                'the prior has values that are not finite: its weights are broken, take another '
                'checkpoint'
            )
        return part

    levels = [
        LevelView(
            stride=stride,
            prior=cut(shown[i], stride).numpy(),
            aggregated=cut(aggregated[i], stride).numpy() if i in aggregated else None,
        )
        for i, stride in enumerate(strides)
    ]
    if sharp is not None and distillation is not None:
        prior_loss, teacher = distillation
        # padded as the prior's image was, so that their grids agree at any size
        features = teacher(pad_to_multiple(sharp, generator.multiple))
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
        restored=to_uint8(generator.restore(blurry, prior)[-1][0]),
        sharp=None if sharp is None else to_uint8(sharp[0]),
        levels=levels,
        seams=seams,
        classes=generator.prior.classes,
        notes=tuple(_notes(generator, sharp is not None and distillation is None)),
    )


def _notes(generator: SemanticGuided, lacks_teacher: bool) -> Iterator[str]:
    """Tell why something is missing that a reader of the paper expects."""
    fusions = generator.embedding.fusions.values()
    others = {type(fusion).__name__ for fusion in fusions if not hasattr(fusion, 'modulation')}
    if others:
        yield f'no mu and sigma where the fusion is {" or ".join(sorted(others))}'
    if lacks_teacher:
        yield 'no similarity, as the model has no teacher'
