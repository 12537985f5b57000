"""Keep what a test run produced: restored images and metrics."""

import platform
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

import cv2
import mmengine
import torch
from mmengine.dist import is_main_process
from mmengine.fileio import dump
from mmengine.hooks import Hook

from mmspd.errors import UserError
from mmspd.registry import HOOKS
from mmspd.version import __version__

__all__ = ['SaveResultsHook']


@HOOKS.register_module()
class SaveResultsHook(Hook):
    """Save each restored image as PNG and the metrics, with what made them, as JSON.

    Images go to ``out_dir/<key of the pair>.png``, 8 bits, clamped and rounded as the metrics see
    them; the metrics to ``out_dir/metrics.json``.

    Args:
        out_dir: Folder for the results; made where it is missing.

    Raises:
        UserError: If an image cannot be written, or has no key to be named after.
    """

    def __init__(self, out_dir: str) -> None:
        self.out_dir = Path(out_dir)

    def after_test_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Optional[Any] = None,
        outputs: Optional[Sequence[Any]] = None,
    ) -> None:
        """Save the images of one batch; each ``pred_img`` is (3, H, W), BGR, 0..255."""
        for sample in outputs or ():
            if 'key' not in sample.metainfo:
                raise UserError(
                    "--out names the images by their keys: add meta_keys=['key'] to PackInputs in "
                    'test_dataloader.dataset.pipeline'
                )
            image = sample.output.pred_img.detach().clamp(0, 255).round().to(torch.uint8)
            file = self.out_dir / f'{sample.key}.png'
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                written = cv2.imwrite(str(file), image.permute(1, 2, 0).cpu().numpy())
            except OSError as error:
                raise UserError(f'{file} could not be written: {error.strerror}') from error
            if not written:
                raise UserError(f'{file} could not be written: free some space or change --out')

    def after_test_epoch(self, runner: Any, metrics: Optional[Dict[str, float]] = None) -> None:
        """Save the metrics with the config, the checkpoint and the versions."""
        if not is_main_process():
            return
        self.out_dir.mkdir(parents=True, exist_ok=True)
        file = self.out_dir / 'metrics.json'
        record = dict(
            metrics={key: float(value) for key, value in (metrics or {}).items()},
            config=getattr(runner.cfg, 'filename', None),
            checkpoint=runner._load_from,
            versions=dict(
                mmspd=__version__,
                mmengine=mmengine.__version__,
                torch=torch.__version__,
                python=platform.python_version(),
            ),
        )
        dump(record, file, indent=2)
        runner.logger.info(f'Images and metrics are in {self.out_dir}.')
