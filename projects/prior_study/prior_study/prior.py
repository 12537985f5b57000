"""How near a trained prior is to its teacher's features, and its size in the restorer."""

import math
from typing import Any, Dict, Iterable, List, NamedTuple, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch import Tensor, nn

from mmspd.apis import init_model
from mmspd.errors import UserError
from mmspd.registry import DATASETS
from mmspd.utils.severity import SEVERITIES
from mmspd.visualization.prior_view import view_prior

__all__ = ['Effect', 'Fit', 'effect_of_prior', 'fit_of_prior']


class Fit(NamedTuple):
    """Shares of the variance of the teacher's features of sharp images that are explained.

    1 is perfect, 0 no better than the mean of every channel, below 0 worse.

    Attributes:
        prior: By the trained prior of the blurry image, level by level.
        teacher: By the teacher shown the blurry image: what is had without any student.
    """

    prior: List[float]
    teacher: List[float]


class Effect(NamedTuple):
    """How large the prior is where the restorer takes it, and what SAT makes of it.

    Attributes:
        aggregated: Standard deviation of M_pri, level by level, over pixels and channels, averaged
            over images; NaN where no seam takes the level.
        mu_change: Mean of ``|mu - 1|`` by seam, likewise.
        mu_spread: By seam, how much of mu depends on the place in the image, see
            :class:`~mmspd.visualization.prior_view.SeamView`.
    """

    aggregated: List[float]
    mu_change: Dict[str, float]
    mu_spread: Dict[str, float]


class _Sums:
    """Sums over the pixels of one level, channel by channel."""

    def __init__(self) -> None:
        self.count = 0
        self.total: Any = 0
        self.squares: Any = 0
        self.errors = [0.0, 0.0]

    def add(self, target: Tensor, predictions: Sequence[Tensor]) -> None:
        """Add the features of a sharp image and two predictions of them, each ``(C, H, W)``."""
        target = target.double()
        self.count += target[0].numel()
        self.total += target.sum((1, 2))
        self.squares += target.square().sum((1, 2))
        for index, prediction in enumerate(predictions):
            self.errors[index] += float((prediction - target).square().sum())

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
    model = init_model(config, checkpoint)
    sums: Dict[str, List[_Sums]] = {}
    for batch in _batches(config, dataset):
        features = _features(model, batch)
        for index, sample in enumerate(batch['data_samples']):
            for group in (str(sample.metainfo.get('severity', 'unknown')), 'all'):
                levels = sums.setdefault(group, [_Sums() for _ in features[0]])
                for level, *maps in zip(levels, *features):
                    target, *predictions = (images[index] for images in maps)
                    level.add(target, predictions)
    order = [*SEVERITIES, *sorted(set(sums) - {*SEVERITIES, 'all'}), 'all']
    return {
        group: Fit(*map(list, zip(*(level.explained() for level in levels))))
        for group, levels in ((name, sums[name]) for name in order if name in sums)
    }


def effect_of_prior(
    config: Config, checkpoint: str, dataset: Dict[str, Any], images: int = 24
) -> Effect:
    """Measure the prior of a trained variant where the restorer takes it.

    Args:
        config: Of the variant.
        checkpoint: Its weights.
        dataset: Config of the pairs.
        images: How many of them to look at, from all over the set.

    Returns:
        The means over those images.

    Raises:
        UserError: The variant has no prior.
    """
    model = init_model(config, checkpoint)
    number = len(DATASETS.build(dataset))
    chosen = np.linspace(0, number - 1, min(images, number)).round().astype(int).tolist()
    views = []
    for batch in _batches(config, dict(dataset, indices=chosen)):
        blurry = model.data_preprocessor(batch, training=False)['inputs']
        views += [view_prior(model, image[None]) for image in blurry]
    sizes = [
        [math.nan if level.aggregated is None else level.aggregated.std() for level in view.levels]
        for view in views
    ]
    changes, spreads = (
        {
            seam: float(np.mean([getattr(view.seams[seam], number) for view in views]))
            for seam in views[0].seams
        }
        for number in ('mu_change', 'mu_spread')
    )
    return Effect(np.mean(sizes, axis=0).tolist(), changes, spreads)


def _batches(config: Config, dataset: Dict[str, Any]) -> Iterable[Dict[str, Any]]:
    """Read pairs as the config's tests do."""
    return Runner.build_dataloader(dict(config.test_dataloader, dataset=dataset))


def _features(model: nn.Module, batch: Dict[str, Any]) -> Tuple[Sequence[Tensor], ...]:
    """Levels of the teacher's features of the sharp images, the prior's, the teacher's of blur."""
    data = model.data_preprocessor(batch, training=True)  # scales the sharp images too
    blurry, sharp = data['inputs'], data['data_samples'].gt_img
    prior = model.prior_loss.project(model.generator.compute_prior(blurry))
    return model.teacher_features(blurry, sharp), prior, model.teacher_features(blurry, blurry)
