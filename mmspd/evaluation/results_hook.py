"""Keep what a test run produced: values of every image, what they depend on, restored images."""

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
    """Write the result of a test run into a folder, and log it by severity of the blur.

    ``result.json`` holds the means, the values of every image, groups by severity and the
    provenance: all that the numbers depend on. ``per_image.csv`` is the table of the images,
    ``severity.png`` the gain by severity, and ``images/<key of the pair>.png``, if asked, the
    restored images: 8 bits, clamped and rounded as the metrics see them.

    Args:
        out_dir: The folder, made where it is missing; by default
            ``<work_dir>/results/<checkpoint>/<data folder>_<data set>-<protocol>``, with ``-x8``
            behind it for a self-ensemble.
        save_images: Write the restored images.

    Raises:
        UserError: A file cannot be written, an image has no key to be named after, or two have the
            same.
    """

    def __init__(self, out_dir: Optional[str] = None, save_images: bool = False) -> None:
        self.out_dir = None if out_dir is None else Path(out_dir)
        self.save_images = save_images

    def before_test(self, runner: Any) -> None:
        """Refuse a test set in which two images have the same name."""
        counts = Counter(map(key_of, _infos(runner.test_dataloader.dataset)))
        twice = [key for key, count in counts.items() if count > 1]
        if twice:
            raise UserError(
                f'{len(twice)} names of images are there more than once in the test set (one is '
                f"'{twice[0]}'): test the data sets one by one, as --test-on does"
            )

    def after_test_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Optional[Any] = None,
        outputs: Optional[Sequence[Any]] = None,
    ) -> None:
        """Save the images of one batch; each ``pred_img`` is (3, H, W), BGR, 0..255."""
        if not self.save_images:
            return
        folder = self._folder(runner) / PICTURES
        for sample in outputs or ():
            if 'key' not in sample.metainfo:
                raise UserError(
                    "--out names the images by their keys: add meta_keys=['key'] to PackInputs in "
                    'test_dataloader.dataset.pipeline'
                )
            image = sample.output.pred_img.detach().clamp(0, 255).round().to(torch.uint8)
            _, png = cv2.imencode('.png', image.permute(1, 2, 0).cpu().numpy())
            write_bytes(folder / f'{sample.key}.png', png.tobytes())

    def after_test_epoch(self, runner: Any, metrics: Optional[Dict[str, float]] = None) -> None:
        """Write the result."""
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
            runner.logger.info(f'By severity of the blur:\n{severity_table(groups, info)}')
        if any('PSNR-gain' in group for members in groups.values() for group in members):
            plot_severity({Path(runner.cfg.filename or 'result').stem: groups}, folder / PLOT_NAME)
        paper = beside_paper(result)
        if paper:
            runner.logger.info(f'Beside the paper:\n{paper}')
        runner.logger.info(f'The result is in {folder / RESULT_NAME}.')

    def _folder(self, runner: Any) -> Path:
        """Return ``out_dir``, or the default for what is tested."""
        if self.out_dir is not None:
            return self.out_dir
        dataset = runner.test_dataloader.dataset
        name = Path(getattr(dataset, 'pack_name', type(dataset).__name__)).stem
        root = getattr(dataset, 'data_root', None)
        if root:  # of one layout there may be many data sets
            name = f'{Path(root).resolve().name}_{name}'
        checkpoint = Path(runner._load_from or 'untrained').stem
        ensemble = (runner.cfg.model.get('test_cfg') or {}).get('self_ensemble')
        protocol = runner.cfg.get('protocol', 'custom') + ('-x8' if ensemble else '')
        return Path(runner.work_dir, 'results', checkpoint, f'{name}-{protocol}')


def _join(metrics: Sequence[Any]) -> List[Dict[str, Any]]:
    """Put what each metric measured on an image into one dict per image."""
    joined: List[Dict[str, Any]] = []
    for metric in metrics:
        if isinstance(metric, ImageMetric):
            joined = joined or [{} for _ in metric.per_image]
            for image, values in zip(joined, metric.per_image):
                image.update(values)
    return joined


def _with_paths(images: List[Dict[str, Any]], dataset: Any) -> List[Dict[str, Any]]:
    """Drop the private values of the images, and name their files where the data set knows them."""
    files = {
        key_of(info): (info.get('img_path', ''), info.get('gt_path', ''))
        for info in _infos(dataset)
    }
    named = []
    for image in images:
        values = {name: value for name, value in image.items() if not name.startswith('_')}
        blurry, sharp = files.get(image['key'], ('', ''))
        blurry = '' if blurry == sharp else blurry  # it was synthesized
        named.append(dict(values, blurry=blurry, sharp=sharp))
    return named


def _infos(dataset: Any) -> List[Dict[str, Any]]:
    """Return what a data set knows of its images before it reads them, if anything."""
    get_info = getattr(dataset, 'get_data_info', None)
    return [get_info(index) for index in range(len(dataset))] if get_info else []
