"""Measures the fit of a trained prior to its teacher, and its effect on the restorer."""

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
    """R2 of two predictions. The target is the teacher's features of the sharp images.

    R2 is the share of the variance of the target that a prediction explains. The value 1 is a
    perfect fit. A prediction with the value 0 is as good as the mean of every channel. A prediction
    with a negative value is worse.

    Attributes:
        prior: R2 at each level if the trained prior of the blurry images is the prediction.
        teacher: R2 at each level if the teacher's features of the blurry images are the prediction.
    """

    prior: List[float]
    teacher: List[float]


class Effect(NamedTuple):
    """Size of the prior at the restorer, and its effect on SAT.

    Attributes:
        aggregated: For each level, the standard deviation of M_pri over pixels and channels,
            averaged over the images. NaN if no seam uses the level.
        mu_change: For each seam, the mean of ``|mu - 1|`` over pixels and channels, averaged over
            the images.
        mu_spread: For each seam, the standard deviation of mu over the pixels, averaged over
            channels and images.
    """

    aggregated: List[float]
    mu_change: Dict[str, float]
    mu_spread: Dict[str, float]


class _Sums:
    """Adds up the numbers that :meth:`explained` needs, over all pixels of one level."""

    def __init__(self) -> None:
        self.count = 0
        self.total: Any = 0
        self.squares: Any = 0
        self.errors = [0.0, 0.0]

    def add(self, target: Tensor, predictions: Sequence[Tensor]) -> None:
        """Add the features of an image.

        Args:
            target: Features of the sharp image, ``(C, H, W)``.
            predictions: Two predictions of these features, each ``(C, H, W)``.
        """
        target = target.double()
        self.count += target[0].numel()
        self.total += target.sum((1, 2))
        self.squares += target.square().sum((1, 2))
        for index, prediction in enumerate(predictions):
            self.errors[index] += float((prediction - target).square().sum())

    def explained(self) -> List[float]:
        """Return, for each prediction, 1 - unexplained / total variance over all channels."""
        variance = float((self.squares - self.total.square() / self.count).sum())
        return [1 - error / variance for error in self.errors]


@torch.no_grad()
def fit_of_prior(config: Config, checkpoint: str, dataset: Dict[str, Any]) -> Dict[str, Fit]:
    """Compare the prior of a trained variant with its teacher's features of the sharp images.

    Args:
        config: Config of the variant.
        checkpoint: Checkpoint of the variant.
        dataset: Config of the pairs. The other keys of ``config.test_dataloader`` are used too.

    Returns:
        A dict from each severity in the pairs' metadata, and from ``'all'``, to the fit.

    Raises:
        UserError: The variant has no teacher, or its teacher has random weights, which are not
            saved.
    """
    teacher = config.model.get('teacher')
    if teacher is None or teacher.get('weights') == 'random':
        problem = 'no teacher' if teacher is None else 'a teacher of random weights'
        raise UserError(
            f'The variant of {checkpoint} has {problem}, so the fit of its prior is unknown; '
            'choose a variant whose model.teacher.weights is a file.'
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
    """Measure the size of a trained prior at the restorer, and its effect on SAT.

    Args:
        config: Config of the variant.
        checkpoint: Checkpoint of the variant.
        dataset: Config of the pairs.
        images: Number of images to measure, spread evenly over the data set.

    Returns:
        The means over the measured images.

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
    """Read pairs with the config's ``test_dataloader``."""
    return Runner.build_dataloader(dict(config.test_dataloader, dataset=dataset))


def _features(model: nn.Module, batch: Dict[str, Any]) -> Tuple[Sequence[Tensor], ...]:
    """Return three sequences with a map for each level.

    They are the teacher's features of the sharp images, the projected prior of the blurry images,
    and the teacher's features of the blurry images.
    """
    data = model.data_preprocessor(batch, training=True)  # only training=True scales gt_img
    blurry, sharp = data['inputs'], data['data_samples'].gt_img
    features = model.teacher_features(blurry, sharp)
    prior = model.prior_loss.project(model.generator.compute_prior(blurry), features)
    return features, prior, model.teacher_features(blurry, blurry)
