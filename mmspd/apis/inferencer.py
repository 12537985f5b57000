"""Deblur photos, folders and videos with a trained model."""

import hashlib
import logging
from pathlib import Path
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence, Set, Union

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log
from tqdm import tqdm

from mmspd.apis.jobs import ForeignResultError, Job, RestoredRecord, fingerprint, search
from mmspd.apis.model import init_model
from mmspd.apis.video import VIDEO_SUFFIXES, read_video_info, restore_video
from mmspd.datasets.image_io import read_size
from mmspd.datasets.photo_io import like_pixels, read_photo, to_tensor
from mmspd.errors import DiskFullError, UsageError, UserError, file_errors
from mmspd.models.tiling import TileNetwork, restore_images
from mmspd.models.tiling.memory import free_memory
from mmspd.utils.files import write_bytes
from mmspd.utils.launch import read_config
from mmspd.utils.skipped import one_line
from mmspd.weights.files import loaded_weights

__all__ = ['DeblurInferencer', 'RestoreOptions']

_BAR = '{desc} {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} pixels [{elapsed}, {remaining} left]'

Input = Union[str, Path, np.ndarray]

# Blur moves light by a few pixels, so deblurring hardly changes the mean of a large cell. A cell is
# about 64 pixels wide. If the mean of a cell changes by more than 0.3 (for images in [0, 1]), the
# result is wrong.
_CELL, _LARGEST_CHANGE = 64, 0.3
# The image and the result stay on the accelerator if they need at most 1/16 of its available
# memory. The tiles need the rest.
_HELD_SHARE = 16


class RestoreOptions(NamedTuple):
    """Options of the restoration; see :func:`~mmspd.models.tiling.restore.restore_images`.

    Attributes:
        tile: Side of the tiles in pixels; 0 for the whole image at once; ``'auto'`` for the largest
            tiles that fit in the memory. If the config has a ``model.test_cfg.window``, as for
            HINet, ``'auto'`` stands for tiles of this side.
        memory_budget: Memory that may be used, in bytes; by default a share of the free memory.
        self_ensemble: Average the results of the eight flips and quarter turns. This takes eight
            times as long.
        precision: Number format, one of :data:`~mmspd.utils.precision.PRECISIONS`.
        batch: Number of tiles that are restored together.
    """

    tile: Union[str, int] = 'auto'
    memory_budget: Optional[int] = None
    self_ensemble: bool = False
    precision: str = 'float32'
    batch: int = 1


class DeblurInferencer:
    """Restores blurry photos and videos.

    Call it like MMEngine's inferencers. It writes each result as soon as the result is ready, so
    large folders and videos need little memory. If a file cannot be restored, it continues with the
    next file.

    Args:
        model: A config, its path, or its name, such as ``'mimounet_sp_gopro'``; or a folder of
            shared weights.
        weights: Checkpoint of ``tools/train.py``, or weights of the restorer that its authors
            published: a file, a name of ``tools/weights.py list``, or ``'official'`` for the
            weights of the recipe. With ``None``, the weights are random, or those in the folder
            ``model``.
        device: Device, such as ``'cpu'`` or ``'cuda:1'``; by default the accelerator if there is
            one, else the CPU.
        compile: Compile the restorer. This takes a minute or more for each tile size. It can save
            time for videos, and for many photos with a fixed tile size.

    Raises:
        UserError: The config, the weights or the device are not available, or the weights do not
            fit the config.

    Examples:
        >>> import numpy as np
        >>> import torch
        >>> from mmengine.config import Config
        >>> from mmspd.apis import DeblurInferencer
        >>> _ = torch.manual_seed(5)
        >>> generator = dict(type='mmspd.MIMOUNet', base=4, num_res=1)
        >>> losses = dict(loss_pix=dict(type='mmagic.L1Loss'))
        >>> model = dict(type='mmspd.SemanticPriorDeblurrer', generator=generator, losses=losses)
        >>> inferencer = DeblurInferencer(Config(dict(model=model)), device='cpu')
        >>> blurry = np.full((20, 30, 3), 128, np.uint8)
        >>> results = inferencer(blurry)
        >>> results['predictions'][0].shape
        (20, 30, 3)

        Restore all photos of a folder with ``inferencer('my_photos', out_dir='sharp')``.
    """

    def __init__(
        self,
        model: Union[str, Path, Config],
        weights: Optional[Union[str, Path]] = None,
        device: Optional[Union[str, torch.device]] = None,
        compile: bool = False,
    ) -> None:
        self.cfg = model if isinstance(model, Config) else read_config(str(model), {})
        if weights is None and not isinstance(model, Config) and Path(model).is_dir():
            weights = model
        read_before = len(loaded_weights())
        self.model = init_model(self.cfg, weights, device or get_device(), distillation=False)
        self._weights = loaded_weights(read_before)
        # only the generator affects the results; the teacher and the heads do not
        self._identity = _digest(self.model.generator, str(self.cfg.model.generator))
        # convolutions are faster in channels-last; the results differ only by rounding
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
        **restore_options: Any,
    ) -> Dict[str, Any]:
        """Restore photos and videos.

        Args:
            inputs: A photo or video file, a folder, a glob pattern, an array (see :meth:`deblur`),
                or a list of files, folders and patterns, or a list of arrays.
            out_dir: Folder for the results; see :func:`~mmspd.apis.jobs.search`. Each result has
                the format of its input. With ``None``, the results are returned and not written.
                Videos need an ``out_dir``.
            suffix: Text to add to the names of the results.
            recursive: Search the subfolders of input folders and linked folders too.
            overwrite: Replace existing results. By default, finished results are skipped. An
                existing result of other settings is an error. A result that was made by another
                program is kept, and its input fails.
            show_progress: Show a progress bar with the remaining time.
            **restore_options: The fields of :class:`RestoreOptions`: ``tile``, ``memory_budget``,
                ``self_ensemble``, ``precision`` and ``batch``.

        Returns:
            A dict. ``predictions`` has an entry per photo or video: the written file, or the pixels
            if ``out_dir`` is ``None``, or ``None`` if the restoration failed. ``sources`` has the
            input files or arrays. ``failures`` maps failed files, inputs that do not exist and
            subfolders that cannot be listed to messages. ``skipped`` has the input files whose
            results were finished before. ``ignored`` maps the other files and folders in the input
            folders to the reason, such as ``'raw photo'``, or to ``''`` if they are not photos or
            videos. Hidden files are not listed.

        Raises:
            UserError: There is no input, the disk is full, a result of other settings exists, or
                the only input cannot be restored.
        """
        options = self._resolve(RestoreOptions(**restore_options))
        listed = [inputs] if isinstance(inputs, (str, Path, np.ndarray)) else list(inputs)
        arrays = [entry for entry in listed if isinstance(entry, np.ndarray)]
        paths = [entry for entry in listed if not isinstance(entry, np.ndarray)]
        if arrays:
            if paths or out_dir is not None:
                raise UserError(
                    'Arrays cannot be written to out_dir or mixed with files; omit out_dir and '
                    'pass files in another call.'
                )
            predictions = [self.deblur(array, options) for array in arrays]
            return dict(
                predictions=predictions, sources=arrays, failures={}, skipped=[], ignored={}
            )
        found = search(paths, out_dir, suffix, recursive)
        jobs = found.jobs
        record, done = None, set()
        errors: Dict[Job, UserError] = {}
        if out_dir is not None:
            settings = dict(model=self._identity, **options._asdict())
            for key in ('memory_budget', 'batch'):  # these do not change the results
                del settings[key]
            record = RestoredRecord(out_dir, settings, self._weights)
            if not overwrite:
                done = _finished(record, jobs, errors)
        results: Dict[Job, Any] = {job: job.target for job in done}
        todo = [job for job in jobs if job not in done and job not in errors]
        # the bar counts pixels, because the time of a photo depends on its size
        total = sum(_count_pixels(job.source) for job in todo) if show_progress else None
        hide = not show_progress or not todo
        with tqdm(total=total, disable=hide, unit_scale=True, bar_format=_BAR) as bar:
            for number, job in enumerate(todo, 1):
                bar.set_description_str(f'{number}/{len(todo)} {one_line(job.source.name, 40)}')
                try:
                    with file_errors(job.source):
                        version = fingerprint(job.source)
                        results[job] = self._restore_file(job, options, bar.update)
                    if record is not None:
                        record.add(job, version)
                except (DiskFullError, UsageError):
                    raise
                except UserError as error:
                    errors[job] = error
        if len(jobs) == len(errors) == 1 and not found.ignored and not found.failures:
            raise errors[jobs[0]]
        failures = {str(folder): sentence for folder, sentence in found.failures.items()}
        failures.update({str(job.source): _sentence(job, error) for job, error in errors.items()})
        return dict(
            predictions=[results.get(job) for job in jobs],
            sources=[job.source for job in jobs],
            failures=failures,
            skipped=[job.source for job in jobs if job in done],
            ignored={str(path): reason for path, reason in found.ignored.items()},
        )

    def deblur(
        self,
        pixels: np.ndarray,
        options: Optional[RestoreOptions] = None,
        progress: Optional[Callable[[int], None]] = None,
    ) -> np.ndarray:
        """Restore one image.

        Args:
            pixels: Image ``(H, W)`` or ``(H, W, C)``, uint8 or uint16. C is 1 (gray), 2 (gray and
                alpha), 3 (RGB) or 4 (RGB and alpha). OpenCV's BGR images must be converted to RGB.
            options: Options of the restoration; by default ``RestoreOptions()``.
            progress: Function that is called with the number of pixels of each finished part.

        Returns:
            The restored image with the shape, the dtype and the alpha channel of the input.

        Raises:
            UserError: The array is not an image, or there is not enough memory.
        """
        options = self._resolve(options or RestoreOptions())
        is_image = pixels.ndim == 2 or (pixels.ndim == 3 and 1 <= pixels.shape[2] <= 4)
        if pixels.dtype not in (np.uint8, np.uint16) or not is_image or not pixels.size:
            raise UserError(
                f'The array has the shape {pixels.shape} and the dtype {pixels.dtype}; give an '
                'image of shape (H, W) or (H, W, 1...4) and dtype uint8 or uint16.'
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
            # on the CPU, PyTorch raises a plain RuntimeError when memory is short
            if isinstance(error, RuntimeError) and 'DefaultCPUAllocator' not in str(error):
                raise
            raise UserError(
                f'{width}x{height} pixels need more memory than is available; set a smaller tile, '
                "or tile='auto' with a smaller memory_budget."
            ) from error

    def _resolve(self, options: RestoreOptions) -> RestoreOptions:
        """Replace ``tile='auto'`` by the window of the config, if there is one.

        The results of such a restorer depend on the size of the tiles, so the size must not depend
        on the free memory. The tiles are blended, because averaged windows have visible borders.
        """
        window = (getattr(self.model, 'test_cfg', None) or {}).get('window')
        return options._replace(tile=window) if window and options.tile == 'auto' else options

    def _place(self, count: int, memory_budget: Optional[int]) -> torch.device:
        """Return the device that holds an image and its result.

        The steps before and after the network take longer on the CPU than the network takes on an
        accelerator. Therefore the accelerator also holds the image and the result, unless they need
        a large share of its memory.

        Args:
            count: Number of pixels of the image.
            memory_budget: Memory that may be used, in bytes; ``None`` for the free memory.

        Returns:
            The device.
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
        """Restore a photo or video.

        Returns:
            The path of the written file or, if the job has no target, the pixels.
        """
        if job.source.suffix.lower() in VIDEO_SUFFIXES:
            if job.target is None:
                raise UserError(
                    f"'{job.source}' is a video, and videos are only written to files; set out_dir."
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


def _finished(
    record: RestoredRecord, jobs: Sequence[Job], errors: Dict[Job, UserError]
) -> Set[Job]:
    """Return the finished jobs, and add the jobs with a result of another program to errors."""
    done = set()
    for job in jobs:
        try:
            if record.is_done(job):
                done.add(job)
        except ForeignResultError as error:
            errors[job] = error
    return done


def _sentence(job: Job, error: UserError) -> str:
    """Return the message of an error with the name of the source."""
    source, sentence = str(job.source), str(error)
    return sentence if source in sentence else f"'{source}': {sentence}"


def _count_pixels(path: Path) -> int:
    """Count the pixels of a photo or of all frames of a video; return 0 for an unreadable file."""
    try:
        if path.suffix.lower() in VIDEO_SUFFIXES:
            info = read_video_info(path)
            return info.frames * info.pixels
        height, width = read_size(path)
        return height * width
    except Exception:  # decoders raise many kinds of errors for damaged files
        return 0  # the error is reported when the file is restored


def _digest(generator: torch.nn.Module, config: str) -> str:
    """Return a hash of a network's config and weights."""
    digest = hashlib.sha256(config.encode())
    for tensor in generator.state_dict().values():
        digest.update(tensor.cpu().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def _warn_of_implausible(image: torch.Tensor, restored: torch.Tensor) -> None:
    """Log a warning if the result is not finite, or differs too much from its input."""
    cells = [-(-side // _CELL) for side in image.shape[-2:]]
    before, after = (F.interpolate(x, size=cells, mode='area') for x in (image, restored))
    change = (after - before).abs().max().item()  # NaN if any pixel is NaN
    if not np.isfinite(change):
        fault = 'has values that are not finite'
    elif change > _LARGEST_CHANGE:
        fault = f'is far from its input (a local mean changed by {change:.2f} of the full range)'
    else:
        return
    print_log(
        f"The restored image {fault}; check the checkpoint, then try precision='float32', then "
        'another tile size, then a restorer without local pooling (NAFNet instead of NAFNetLocal).',
        'current',
        logging.WARNING,
    )
