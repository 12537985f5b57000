"""Save the result of a test run: values of every image, provenance and restored images."""

from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import cv2
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from mmspd.errors import UserError
from mmspd.evaluation.metrics.base import ImageMetric, key_of
from mmspd.evaluation.paper_tables import beside_paper
from mmspd.evaluation.provenance import make_provenance, metric_info_of
from mmspd.evaluation.results import RESULT_NAME, Result
from mmspd.evaluation.severity_report import group_by_severity, plot_severity, severity_table
from mmspd.registry import HOOKS
from mmspd.utils.files import write_bytes

__all__ = ['ResultsHook']

PLOT_NAME = 'severity.png'
PICTURES = 'images'


@HOOKS.register_module()
class ResultsHook(Hook):
    """Saves the result of a test run in a folder, and logs the metrics by blur severity.

    The folder contains:

    * ``result.json``: the means, the values of every image, groups by severity, and the
      provenance, which is everything on which the numbers depend;
    * ``per_image.csv``: the table of the images;
    * ``severity.png``: the gain by severity;
    * ``images/<key of the pair>.png``, if ``save_images`` is set: the restored images in 8 bits,
      clamped and rounded as for the metrics.

    Args:
        out_dir: The folder, created if it is missing. The default is
            ``<work_dir>/results/<checkpoint>/<data folder>_<data set>-<protocol>``, with the suffix
            ``-x8`` for a self-ensemble.
        save_images: Whether to save the restored images.

    Raises:
        UserError: A file cannot be written, an image has no key, or two images have the same key.
    """

    def __init__(self, out_dir: Optional[str] = None, save_images: bool = False) -> None:
        self.out_dir = None if out_dir is None else Path(out_dir)
        self.save_images = save_images

    def before_test(self, runner: Any) -> None:
        """Check that the images of the test set have unique names.

        Args:
            runner: MMEngine's runner.

        Raises:
            UserError: Two images have the same name.
        """
        counts = Counter(map(key_of, _infos(runner.test_dataloader.dataset)))
        twice = [key for key, count in counts.items() if count > 1]
        if twice:
            raise UserError(
                f'{len(twice)} image names occur more than once in the test set (one is '
                f"'{twice[0]}'); test the data sets one by one with --test-on."
            )

    def after_test_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Optional[Any] = None,
        outputs: Optional[Sequence[Any]] = None,
    ) -> None:
        """Save the images of one batch.

        Args:
            runner: MMEngine's runner.
            batch_idx: Not used.
            data_batch: Not used.
            outputs: Data samples. Each ``output.pred_img`` is (3, H, W), BGR, 0..255.

        Raises:
            UserError: An image has no key, or its file cannot be written.
        """
        if not self.save_images:
            return
        folder = self._folder(runner) / PICTURES
        for sample in outputs or ():
            if 'key' not in sample.metainfo:
                raise UserError(
                    "An image has no key, which --out uses as its name; add meta_keys=['key'] to "
                    'PackInputs in test_dataloader.dataset.pipeline.'
                )
            image = sample.output.pred_img.detach().clamp(0, 255).round().to(torch.uint8)
            _, png = cv2.imencode('.png', image.permute(1, 2, 0).cpu().numpy())
            write_bytes(folder / f'{sample.key}.png', png.tobytes())

    def after_test_epoch(self, runner: Any, metrics: Optional[Dict[str, float]] = None) -> None:
        """Save the result.

        Args:
            runner: MMEngine's runner.
            metrics: A dict from names to means.

        Raises:
            UserError: A file cannot be written.
        """
        if not is_main_process():
            return
        folder = self._folder(runner)
        evaluated = runner.test_loop.evaluator.metrics
        images = _join(evaluated)
        groups = group_by_severity(images)
        provenance = dict(make_provenance(runner), pictures=PICTURES if self.save_images else None)
        means = {name: float(value) for name, value in (metrics or {}).items()}
        info = {
            name: each
            for name, each in metric_info_of(evaluated).items()
            if name in means or (images and name in images[0])
        }
        images = _with_paths(images, runner.test_dataloader.dataset)
        result = Result(provenance, means, info, images, groups)
        result.save(folder)
        if groups:
            runner.logger.info('Results by blur severity:\n' + severity_table(groups, info))
        if any('PSNR-gain' in group for members in groups.values() for group in members):
            plot_severity({Path(runner.cfg.filename or 'result').stem: groups}, folder / PLOT_NAME)
        paper = beside_paper(result)
        if paper:
            runner.logger.info('Comparison with the paper:\n' + paper)
        runner.logger.info(f'The result is in {folder / RESULT_NAME}.')

    def _folder(self, runner: Any) -> Path:
        """Return ``out_dir`` or the default folder."""
        if self.out_dir is not None:
            return self.out_dir
        dataset = runner.test_dataloader.dataset
        name = Path(getattr(dataset, 'pack_name', type(dataset).__name__)).stem
        root = getattr(dataset, 'data_root', None)
        if root:  # several data sets may have the same class
            name = f'{Path(root).resolve().name}_{name}'
        checkpoint = Path(runner._load_from or 'untrained').stem
        ensemble = (runner.cfg.model.get('test_cfg') or {}).get('self_ensemble')
        protocol = runner.cfg.get('protocol', 'custom') + ('-x8' if ensemble else '')
        return Path(runner.work_dir, 'results', checkpoint, f'{name}-{protocol}')


def _join(metrics: Sequence[Any]) -> List[Dict[str, Any]]:
    """Join the values of all metrics into one dict per image."""
    joined: List[Dict[str, Any]] = []
    for metric in metrics:
        if isinstance(metric, ImageMetric):
            joined = joined or [{} for _ in metric.per_image]
            for image, values in zip(joined, metric.per_image):
                image.update(values)
    return joined


def _with_paths(images: List[Dict[str, Any]], dataset: Any) -> List[Dict[str, Any]]:
    """Drop values whose names start with ``_``, and add the paths of the files, if known."""
    files = {
        key_of(info): (info.get('img_path', ''), info.get('gt_path', ''))
        for info in _infos(dataset)
    }
    named = []
    for image in images:
        values = {name: value for name, value in image.items() if not name.startswith('_')}
        blurry, sharp = files.get(image['key'], ('', ''))
        blurry = '' if blurry == sharp else blurry  # a synthesized blurry image has no file
        named.append(dict(values, blurry=blurry, sharp=sharp))
    return named


def _infos(dataset: Any) -> List[Dict[str, Any]]:
    """Return the information about each image of a data set, without reading the images."""
    get_info = getattr(dataset, 'get_data_info', None)
    return [get_info(index) for index in range(len(dataset))] if get_info else []
