"""Save the result of a test run: values of every image, provenance and restored images."""

from collections import Counter
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

import cv2
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from mmspd.errors import UserError
from mmspd.evaluation.metrics.base import key_of
from mmspd.evaluation.metrics.functional import to_uint8_rgb
from mmspd.evaluation.provenance import make_provenance, rounding_of
from mmspd.evaluation.results import RESULT_NAME
from mmspd.evaluation.same_test import check_same_test
from mmspd.evaluation.summary import infos_of, make_result, save_result
from mmspd.registry import HOOKS
from mmspd.utils.files import write_bytes
from mmspd.weights.files import loaded_weights

__all__ = ['ResultsHook', 'result_folder']

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
      as the metrics measure them.

    Args:
        out_dir: The folder, created if it is missing. The default is :func:`result_folder`.
        save_images: Whether to save the restored images.

    A result is replaced by a repetition of the same test only.

    Raises:
        UserError: The folder holds the result of another test, a file cannot be written, an image
            has no key, or two images have the same key.
    """

    def __init__(self, out_dir: Optional[str] = None, save_images: bool = False) -> None:
        self.out_dir = None if out_dir is None else Path(out_dir)
        self.save_images = save_images
        self._read_before = len(loaded_weights())  # by other runs in this process

    def before_test(self, runner: Any) -> None:
        """Check the names of the images and the folder of the result.

        Args:
            runner: MMEngine's runner.

        Raises:
            UserError: Two images have the same name, or the folder holds the result of another
                test.
        """
        counts = Counter(map(key_of, infos_of(runner.test_dataloader.dataset)))
        twice = [key for key, count in counts.items() if count > 1]
        if twice:
            raise UserError(
                f'{len(twice)} image names occur more than once in the test set (one is '
                f"'{twice[0]}'); test the data sets one by one with --test-on."
            )
        weights = loaded_weights(self._read_before)
        check_same_test(self._folder(runner), make_provenance(runner, weights))

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
        rounding = rounding_of(runner.test_loop.evaluator.metrics)
        for sample in outputs or ():
            if 'key' not in sample.metainfo:
                raise UserError(
                    "An image has no key, which --out uses as its name; add meta_keys=['key'] to "
                    'PackInputs in test_dataloader.dataset.pipeline.'
                )
            restored = sample.output.pred_img.detach().float().cpu().numpy()
            image = to_uint8_rgb(restored, rounding)
            _, png = cv2.imencode('.png', image[..., ::-1])
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
        weights = loaded_weights(self._read_before)
        pictures = PICTURES if self.save_images else None
        provenance = dict(make_provenance(runner, weights), pictures=pictures)
        infos = infos_of(runner.test_dataloader.dataset)
        evaluated = runner.test_loop.evaluator.metrics
        result = make_result(evaluated, metrics or {}, infos, provenance)
        for text in save_result(result, folder, Path(runner.cfg.filename or 'result').stem):
            runner.logger.info(text)
        runner.logger.info(f'The result is in {folder / RESULT_NAME}.')

    def _folder(self, runner: Any) -> Path:
        """Return ``out_dir`` or the default folder."""
        if self.out_dir is not None:
            return self.out_dir
        return result_folder(
            runner.cfg, runner.test_dataloader.dataset, runner.work_dir, runner._load_from
        )


def result_folder(
    config: Config, dataset: Any, work_dir: str, checkpoint: Optional[str] = None
) -> Path:
    """Return the default folder of the result of a test.

    Args:
        config: The config of the test.
        dataset: The test set.
        work_dir: The work folder.
        checkpoint: The tested checkpoint.

    Returns:
        ``<work_dir>/results/<checkpoint>/<data folder>_<data set>-<protocol>``, with the suffix
        ``-x8`` for a self-ensemble, and ``-window256`` for windows of 256 pixels.
    """
    name = Path(getattr(dataset, 'pack_name', type(dataset).__name__)).stem
    root = getattr(dataset, 'data_root', None)
    if root:  # several data sets may have the same class
        name = f'{Path(root).resolve().name}_{name}'
    test_cfg = config.model.get('test_cfg') or {}
    protocol = config.get('protocol', 'custom') + ('-x8' if test_cfg.get('self_ensemble') else '')
    if test_cfg.get('window'):
        protocol += f'-window{test_cfg["window"]}'
    return Path(work_dir, 'results', Path(checkpoint or 'untrained').stem, f'{name}-{protocol}')
