"""How much of the teacher's view of the sharp image a trained prior holds."""

from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, load_checkpoint
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.registry import build_model
from mmspd.utils.severity import SEVERITIES

__all__ = ['Fit', 'fit_of_prior']


class Fit(NamedTuple):
    """Shares of the variance of the teacher's features of sharp images that are explained.

    1 is perfect, 0 no better than the mean of every channel, below 0 worse.

    Attributes:
        prior: By the trained prior of the blurry image, level by level.
        teacher: By the teacher shown the blurry image: what is had without any student.
    """

    prior: List[float]
    teacher: List[float]


class _Sums:
    """Sums over pixels of one level, channel by channel."""

    def __init__(self) -> None:
        self.count = 0
        self.total: Any = 0
        self.squares: Any = 0
        self.errors: List[Any] = [0, 0]

    def add(self, wanted: Tensor, found: Sequence[Tensor]) -> None:
        """Add a batch: the sharp image's features, and what two others say they are."""
        self.count += wanted.numel() // wanted.shape[1]
        self.total += wanted.double().sum((0, 2, 3))
        self.squares += wanted.double().square().sum((0, 2, 3))
        for index, level in enumerate(found):
            self.errors[index] += float((level - wanted).double().square().sum())

    def explained(self) -> List[float]:
        """1 - unexplained / total variance, all channels together."""
        variance = float((self.squares - self.total.square() / self.count).sum())
        return [1 - error / variance for error in self.errors]


@torch.no_grad()
def fit_of_prior(config: Config, checkpoint: str, dataset: Dict[str, Any]) -> Dict[str, Fit]:
    """Compare the prior of a trained variant with its teacher's view of the sharp images.

    Args:
        config: Of the variant.
        checkpoint: Its weights.
        dataset: Config of the pairs; ``config.test_dataloader`` says how they are read.

    Returns:
        The fit by severity, as the pairs' records state it, and of ``'all'``.

    Raises:
        UserError: The variant has no teacher, or one of random weights, which are not kept.
    """
    teacher = config.model.get('teacher')
    if teacher is None or teacher.get('weights') == 'random':
        lacking = 'no teacher' if teacher is None else 'a teacher of random weights'
        raise UserError(
            f'{checkpoint}: there is {lacking} to compare the prior with; choose a variant whose '
            'model.teacher.weights is a file'
        )
    init_default_scope(config.get('default_scope', 'mmagic'))
    model = build_model(config.model)
    load_checkpoint(model, checkpoint, map_location='cpu', strict=True)
    model.eval()
    sums: Dict[str, List[_Sums]] = {}
    loader = Runner.build_dataloader(dict(config.test_dataloader, dataset=dataset))
    for batch in loader:
        wanted, found, seen = _features(model, batch)
        for index, sample in enumerate(batch['data_samples']):
            for group in (str(sample.metainfo.get('severity', 'unknown')), 'all'):
                levels = sums.setdefault(group, [_Sums() for _ in wanted])
                for level, *maps in zip(levels, wanted, found, seen):
                    target, *others = (features[index, None] for features in maps)
                    level.add(target, others)
    order = [*SEVERITIES, *sorted(set(sums) - {*SEVERITIES, 'all'}), 'all']
    return {
        group: Fit(*map(list, zip(*(level.explained() for level in levels))))
        for group, levels in ((name, sums[name]) for name in order if name in sums)
    }


def _features(model: nn.Module, batch: Dict[str, Any]) -> Tuple[Sequence[Tensor], ...]:
    """What the teacher sees in the sharp images, what the prior holds, what it sees in the blur."""
    data = model.data_preprocessor(batch, training=True)  # scales the sharp images too
    blurry, sharp = data['inputs'], data['data_samples'].gt_img
    prior = model.prior_loss.project(model.generator.compute_prior(blurry))
    return model.teach(sharp), prior, model.teach(blurry)
