"""Deblurring photos, folders and videos with a trained model."""

import hashlib
import logging
import warnings
from pathlib import Path
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence, Union

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log
from PIL import Image
from tqdm import tqdm

import mmspd
from mmspd.apis.jobs import Job, RestoredRecord, find_jobs
from mmspd.apis.model import init_model
from mmspd.apis.photo_io import like_pixels, read_photo, to_tensor
from mmspd.apis.video import VIDEO_SUFFIXES, read_video_info, restore_video
from mmspd.errors import UserError
from mmspd.models.tiling import TileNetwork, restore_images
from mmspd.models.tiling.memory import free_memory
from mmspd.utils.files import write_bytes
from mmspd.utils.launch import check_file, read_config

__all__ = ['DeblurInferencer', 'RestoreOptions']

_BAR = '{desc} {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} pixels [{elapsed}, {remaining} left]'

Input = Union[str, Path, np.ndarray]

# a blur moves light about within a few cells of so many pixels, so their means hardly change
_CELL, _LARGEST_CHANGE = 64, 0.3
#: The part of an accelerator's memory that image and result may take; the tiles need the rest.
_HELD_SHARE = 16


class RestoreOptions(NamedTuple):
    """How to restore; see :func:`mmspd.models.tiling.restore_images`.

    Attributes:
        tile: Side of the tiles in pixels, 0 for the whole image at once, ``'auto'`` for the largest
            that the memory allows.
        memory_budget: Bytes that may be used; by default a share of what is free.
        self_ensemble: Average over the eight flips and quarter turns, in eight times the time.
        precision: A name of :data:`~mmspd.utils.precision.PRECISIONS`.
        batch: How many tiles to restore at a time.
    """

    tile: Union[str, int] = 'auto'
    memory_budget: Optional[int] = None
    self_ensemble: bool = False
    precision: str = 'float32'
    batch: int = 1


class DeblurInferencer:
    """Restore blurry photos and videos.

    It is called as the inferencers of MMEngine are, but writes every result as it is made, so that
    a folder of any size and a video need little memory, and goes on after a bad file.

        inferencer = DeblurInferencer('mimounet_sp_gopro', 'epoch_700.pth')
        inferencer('photos', out_dir='sharp')
        sharp = inferencer(blurry)['predictions'][0]        # an RGB array

    Args:
        model: Path of a config or the config; or the name of one in the repository's
            ``configs/spd``, such as ``'mimounet_sp_gopro'``.
        weights: Checkpoint of ``tools/train.py``, or weights of the restorer as its authors
            published them; random ones with ``None``.
        device: Where to compute; by default the accelerator if there is one, else the CPU.
        compile: Compile the restorer for each size of tile, which takes a minute or more each time;
            worth it for many photos in tiles of a stated size, and for videos.

    Raises:
        UserError: The config, the weights or the device cannot be had, or do not fit each other.
    """

    def __init__(
        self,
        model: Union[str, Path, Config],
        weights: Optional[Union[str, Path]] = None,
        device: Optional[Union[str, torch.device]] = None,
        compile: bool = False,
    ) -> None:
        self.cfg = model if isinstance(model, Config) else read_config(_find_config(model), {})
        self.model = init_model(self.cfg, weights, device or get_device(), distillation=False)
        # the teacher has no part in a result, nor have its heads
        self._identity = _digest(self.model.generator, str(self.cfg.model.generator))
        # convolutions are faster in it, and the results are equal but for rounding
        self.model.generator.to(memory_format=torch.channels_last)
        self.model.memory_format = torch.channels_last
        self._network = TileNetwork(self.model, compile)

    def __call__(
        self,
        inputs: Union[Input, Sequence[Input]],
        out_dir: Optional[Union[str, Path]] = None,
        *,
        suffix: str = '',
        recursive: bool = False,
        overwrite: bool = False,
        show_progress: bool = True,
        **how: Any,
    ) -> Dict[str, Any]:
        """Restore one or many photos and videos.

        Args:
            inputs: A photo or video, a folder of them, a glob pattern, an array as for
                :meth:`deblur`, or a list of these.
            out_dir: Folder for the results, see :func:`~mmspd.apis.jobs.find_jobs`; each is in the
                format of its input. With ``None`` they are returned; a video cannot be.
            suffix: Added to the names of the results.
            recursive: Look into the folders of folders too.
            overwrite: Replace results that are there. By default what is done is skipped, and it
                is refused to replace a file that was made with other settings or is not ours.
            show_progress: Show a bar with the time that is left.
            **how: ``tile``, ``memory_budget``, ``self_ensemble``, ``precision`` and ``batch``, see
                :class:`RestoreOptions`.

        Returns:
            ``predictions``: for each photo or video the file written, else its pixels as an array;
            ``None`` for one that failed. ``sources``: their files or arrays. ``failures``: by file,
            a sentence that says what is wrong with it. ``skipped``: files that were done before.

        Raises:
            UserError: Nothing can be restored or written, or the only input is a bad one.
        """
        options = RestoreOptions(**how)
        listed = [inputs] if isinstance(inputs, (str, Path, np.ndarray)) else list(inputs)
        arrays = [entry for entry in listed if isinstance(entry, np.ndarray)]
        paths = [entry for entry in listed if not isinstance(entry, np.ndarray)]
        if arrays:
            if paths or out_dir is not None:
                raise UserError(
                    'arrays are returned, not written, and not mixed with files: leave out_dir out'
                )
            predictions = [self.deblur(array, options) for array in arrays]
            return dict(predictions=predictions, sources=arrays, failures={}, skipped=[])
        jobs = find_jobs(paths, out_dir, suffix, recursive)
        record, done = None, set()
        if out_dir is not None:
            settings = dict(model=self._identity, **options._asdict())
            for key in ('memory_budget', 'batch'):  # no result depends on them
                del settings[key]
            record = RestoredRecord(out_dir, settings)
            done = set() if overwrite else {job for job in jobs if record.is_done(job)}
        results: Dict[Job, Any] = {job: job.target for job in done}
        failures: Dict[str, str] = {}
        todo = [job for job in jobs if job not in done]
        # by pixels, for photos and frames of all sizes take a time each
        total = sum(_count_pixels(job.source) for job in todo) if show_progress else None
        hide = not show_progress or not todo
        with tqdm(total=total, disable=hide, unit_scale=True, bar_format=_BAR) as bar:
            for number, job in enumerate(todo, 1):
                bar.set_description_str(f'{number}/{len(todo)} {job.source.name}')
                try:
                    results[job] = self._restore_file(job, options, bar.update)
                    if record is not None:
                        record.add(job)
                except UserError as error:
                    if len(jobs) == 1:
                        raise
                    source, sentence = str(job.source), str(error)
                    failures[source] = sentence if source in sentence else f"'{source}': {sentence}"
        return dict(
            predictions=[results.get(job) for job in jobs],
            sources=[job.source for job in jobs],
            failures=failures,
            skipped=[job.source for job in jobs if job in done],
        )

    def deblur(
        self,
        pixels: np.ndarray,
        options: Optional[RestoreOptions] = None,
        progress: Optional[Callable[[int], None]] = None,
    ) -> np.ndarray:
        """Restore one image.

        Args:
            pixels: ``(H, W)`` gray, or ``(H, W, C)`` with C of 1 (gray), 2 (and alpha), 3 (RGB) or
                4 (and alpha); uint8 or uint16; RGB and not the BGR of OpenCV.
            options: How.
            progress: Called with the number of pixels of every part that is done.

        Returns:
            The restored image, of the same shape and type; alpha is the input's.

        Raises:
            UserError: It is no image, or needs more memory than there is.
        """
        options = RestoreOptions() if options is None else options
        is_image = pixels.ndim == 2 or (pixels.ndim == 3 and 1 <= pixels.shape[2] <= 4)
        if pixels.dtype not in (np.uint8, np.uint16) or not is_image or not pixels.size:
            raise UserError(
                f'an image has the shape (H, W) or (H, W, 1...4) and the type uint8 or uint16, not '
                f'{pixels.shape} and {pixels.dtype}'
            )
        planes = pixels[..., None] if pixels.ndim == 2 else pixels
        height, width = pixels.shape[:2]
        reported = 0

        def report(done: int, total: int) -> None:
            nonlocal reported
            if progress is not None:
                progress(height * width * done // total - reported)
                reported = height * width * done // total

        try:
            image = to_tensor(planes, self._place(height * width, options.memory_budget))
            restored = restore_images(self._network, image, progress=report, **options._asdict())
            _warn_of_implausible(image, restored)
            return like_pixels(restored, planes).reshape(pixels.shape)
        except (RuntimeError, MemoryError) as error:
            # on the CPU PyTorch has no exception of its own for it
            if isinstance(error, RuntimeError) and 'DefaultCPUAllocator' not in str(error):
                raise
            raise UserError(
                f'there is not enough memory for {width}x{height} pixels: give a smaller tile or '
                'memory budget'
            ) from error

    def _place(self, count: int, memory_budget: Optional[int]) -> torch.device:
        """Return where to hold an image of so many pixels, and its result.

        Beside an accelerator the CPU takes longer for the steps around the network than that for
        the network, so both are held there unless they are large for its memory.
        """
        device = self._network.device
        if device.type == 'cpu':
            return device
        held = 2 * 3 * 4 * count
        room = free_memory(device) if memory_budget is None else memory_budget
        return device if held <= room // _HELD_SHARE else torch.device('cpu')

    def _restore_file(
        self, job: Job, options: RestoreOptions, progress: Callable[[int], None]
    ) -> Any:
        """Restore a photo or video; return the file written, else the pixels."""
        if job.source.suffix.lower() in VIDEO_SUFFIXES:
            if job.target is None:
                raise UserError(
                    f"'{job.source}' is a video, which is written and not returned: "
                    'give a folder for it (out_dir)'
                )
            restore_video(
                job.source, job.target, lambda frame: self.deblur(frame, options, progress)
            )
            return job.target
        photo = read_photo(job.source)
        pixels = self.deblur(photo.pixels, options, progress)
        if job.target is None:
            return pixels[..., 0] if pixels.shape[2] == 1 else pixels
        write_bytes(job.target, photo.encode(pixels))
        return job.target


def _count_pixels(path: Path) -> int:
    """Count the pixels of a photo, or of all frames of a video; 0 where it cannot be read."""
    try:
        if path.suffix.lower() in VIDEO_SUFFIXES:
            info = read_video_info(path)
            return info.frames * info.pixels
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # about many pixels, which a photo may have
            with Image.open(path) as image:
                return image.width * image.height
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return 0  # what is wrong is said in its turn


def _find_config(model: Union[str, Path]) -> str:
    """Return the path of a config given by its path, or by its name in the repository."""
    if Path(model).suffix == '.py' or Path(model).exists():
        return str(model)
    folder = Path(mmspd.__file__).resolve().parents[1] / 'configs' / 'spd'
    if not folder.is_dir():
        raise UserError(
            f'{model} is no file, and this installation has no configs to find it by its name in '
            f'({folder} does not exist): give the path of a config'
        )
    return check_file(str(folder / f'{model}.py'), 'config')


def _digest(generator: torch.nn.Module, config: str) -> str:
    """Return a hash of a network's config and weights."""
    digest = hashlib.sha256(config.encode())
    for tensor in generator.state_dict().values():
        digest.update(tensor.cpu().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def _warn_of_implausible(image: torch.Tensor, restored: torch.Tensor) -> None:
    """Log a warning where the result has values that no deblurring gives."""
    cells = [-(-side // _CELL) for side in image.shape[-2:]]
    before, after = (F.interpolate(x, size=cells, mode='area') for x in (image, restored))
    change = (after - before).abs().max().item()  # nan where any pixel is
    if not np.isfinite(change):
        fault = 'has values that are not finite'
    elif change > _LARGEST_CHANGE:
        fault = f'is far from its input ({change:.2f} of the full range in some part)'
    else:
        return
    print_log(
        f"The restored image {fault}. Try precision='float32', then another tile size, then a "
        'restorer without local pooling (NAFNet for NAFNetLocal); a wrong checkpoint does it too.',
        'current',
        logging.WARNING,
    )
