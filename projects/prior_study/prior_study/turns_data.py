"""The photos to train on and the test sets of a training in turns."""

import json
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import Evaluator

from mmspd.datasets.blur.folder import FolderPlan, synthesize_folder
from mmspd.datasets.blur.synthesis import BlurSpec
from mmspd.datasets.records import RECORDS_NAME
from mmspd.evaluation.metrics import ImageMetric
from mmspd.registry import DATASETS
from prior_study.pairs import only_split

__all__ = ['BLURS', 'PairSet', 'blur_photos', 'evaluate', 'load_pairs', 'use_photos']

#: Ranges of the extent of the blur of test photos, in pixels. Training has the range of all three.
BLURS = ((3, 6), (6, 13), (13, 25))
#: Repetitions of the photos in an epoch, because the workers of a data loader pause between epochs.
_REPETITIONS = 100
_SHOWN = 3  # images of a test set in the pictures


class PairSet(NamedTuple):
    """Pairs of images in memory.

    Attributes:
        name: Name of the test set.
        batches: Batches of one pair each.
        extents: A dict from the key of a synthesized pair to the extent of its blur in pixels.
    """

    name: str
    batches: List[Dict[str, Any]]
    extents: Dict[str, float]

    def one_per_photo(self) -> 'PairSet':
        """Return a part of the test set: one pair of each blurred photo, with the blurs in turn.

        A set without synthesized blur is returned as it is.
        """
        count = len(BLURS) if self.extents else 1
        kept = [
            batch
            for number, batch in enumerate(self.batches)
            if number % count == number // count % count
        ]
        return self._replace(batches=kept)


def use_photos(config: Config, folders: Sequence[Path], workers: int) -> None:
    """Let a config train on the photos of some folders.

    Args:
        config: Config of a variant, changed in place. Its training data set reads sharp photos.
        folders: Folders of photos.
        workers: Number of processes that load the data.
    """
    loader = config.train_dataloader
    photos = [dict(loader.dataset, data_root=str(folder)) for folder in folders]
    loader.dataset = dict(
        type='mmengine.RepeatDataset',
        times=_REPETITIONS,
        dataset=dict(type='mmengine.ConcatDataset', datasets=photos),
    )
    loader.num_workers, loader.persistent_workers = workers, workers > 0


def blur_photos(name: str, folder: Path, out: Path, workers: int) -> PairSet:
    """Make a test set of photos, each blurred with every range of :data:`BLURS`.

    Args:
        name: Name of the test set.
        folder: Folder of sharp photos.
        out: Folder for the pairs. If it holds the same pairs, they are used again.
        workers: Number of processes.

    Returns:
        The test set.

    Raises:
        UserError: A photo is missing or cannot be used.
    """
    specs = tuple(BlurSpec((float(low), float(high))) for low, high in BLURS)
    plan = FolderPlan(specs, per_image=len(specs), train_share=0.0, in_turn=True)
    synthesize_folder(folder, out, plan, workers)
    lines = (out / 'test' / RECORDS_NAME).read_text('utf-8').splitlines()
    records = [json.loads(line) for line in lines]
    return load_pairs(name, out)._replace(extents={r['key']: r['extent'] for r in records})


def load_pairs(name: str, folder: Path) -> PairSet:
    """Read the pairs of a folder.

    Args:
        name: Name of the test set.
        folder: Folder with one set of pairs.

    Returns:
        The test set.

    Raises:
        UserError: The folder has no pairs, or several sets.
    """
    steps = [dict(type='mmspd.LoadImagePair'), dict(type='mmspd.PackInputs', meta_keys=['key'])]
    dataset = DATASETS.build(dict(only_split(folder), pipeline=steps, test_mode=True))
    return PairSet(name, [pseudo_collate([dataset[i]]) for i in range(len(dataset))], {})


@torch.no_grad()
def evaluate(
    model: Any,
    tests: PairSet,
    metrics: Sequence[ImageMetric],
    show: Optional[Callable[[Any], None]] = None,
) -> List[Dict[str, Any]]:
    """Restore and measure the images of a test set.

    Args:
        model: Model in evaluation mode.
        tests: The test set.
        metrics: New metrics.
        show: Function that gets the restored samples of the first, the middle and the last image.

    Returns:
        A dict for each image with ``key``, the metrics and, if it is known, ``extent``.
    """
    evaluator = Evaluator(list(metrics))
    shown = set(np.linspace(0, len(tests.batches) - 1, _SHOWN).astype(int).tolist())
    for number, batch in enumerate(tests.batches):
        samples = model.val_step(batch)
        evaluator.process(samples, batch)
        if show and number in shown:
            show(samples[0])
    evaluator.evaluate(len(tests.batches))
    images = [
        {name: value for part in parts for name, value in part.items()}
        for parts in zip(*(metric.per_image for metric in metrics))
    ]
    for image in images:
        if image['key'] in tests.extents:
            image['extent'] = tests.extents[image['key']]
    return images
