"""Measure the training step of a config against a plain loop, and see where its time goes.

A step is what a runner does with a batch: bring it to the device, restore it, look at the sharp
images with the teacher, compute the losses, backward, optimizer. The batch is noise that lies in
memory, uint8 as a DataLoader hands it over: loading is not measured, nor are the runner's hooks.

The reference is the same network, from the same weights, in a loop as the official projects of
MIMO-UNet and MPRNet write theirs: float32, eager and contiguous, float images from the loader, the
losses in their textbook form and each of them read by .item().

python tools/benchmark/train_step.py configs/spd/mimounet_sp_gopro.py --batch 2 --crop 128
"""

import argparse
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Sequence
from unittest import mock

import torch
import torch.nn.functional as F
from common import add_arguments, write_record
from measure import (
    allocated_peak,
    paired_ratio,
    summarize,
    synchronise,
    time_in_turns,
)
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIMIZERS
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from training_memory import held_bytes
from training_step import (
    VARIANTS,
    build_training,
    forget_weights,
    loader_batch,
    use_variant,
)

from mmspd.errors import UserError
from mmspd.models.guided import as_list
from mmspd.utils.cli import run_main
from mmspd.utils.device import check_device
from mmspd.utils.launch import add_cfg_options, read_config
from mmspd.utils.tables import text_table

#: Those of the variants that change no number but by rounding.
EXACT = {'float32', 'channels_last', 'fused', 'compile'}
#: How far, relatively, the losses of float32 variants may be from the reference's.
TOLERANCE = 1e-4
PARTS = ('data', 'teacher', 'prior', 'restorer', 'losses', 'backward', 'optimizer')
MIB = 1 << 20


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file, e.g. configs/spd/mimounet_sp_gopro.py')
    parser.add_argument('--batch', type=int, help="pairs (default: the config's)")
    parser.add_argument('--crop', type=int, default=256, help='their side (default: 256)')
    parser.add_argument(
        '--variants', nargs='+', choices=VARIANTS, default=['float32'], help='ways to train'
    )
    parser.add_argument(
        '--weights',
        choices=['random', 'config'],
        default='random',
        help='of teacher and VGG; time and memory do not depend on them (default: random)',
    )
    parser.add_argument(
        '--profile', type=Path, help="write a Chrome trace of the last variant's step to this file"
    )
    add_cfg_options(parser)
    add_arguments(parser, rounds=10)
    return parser.parse_args(argv)


def plain_frequency(pred: Tensor, target: Tensor) -> Tensor:
    """MIMO-UNet's frequency term: the mean over both full spectra, real and imaginary parts."""
    found, wanted = (torch.view_as_real(torch.fft.fft2(image)) for image in (pred, target))
    return F.l1_loss(found, wanted)


def plain_edge(pred: Tensor, target: Tensor, eps: float) -> Tensor:
    """MPRNet's edge term: the Laplacian of either image, and the Charbonnier distance of both."""
    taps = torch.tensor([[0.05, 0.25, 0.4, 0.25, 0.05]], device=pred.device)
    kernel = (taps.t() @ taps).expand(pred.shape[1], 1, 5, 5)

    def blur(image: Tensor) -> Tensor:
        padded = F.pad(image, (2, 2, 2, 2), mode='replicate')
        return F.conv2d(padded, kernel, groups=image.shape[1])

    def edges(image: Tensor) -> Tensor:
        coarse = torch.zeros_like(image)
        coarse[..., ::2, ::2] = 4 * blur(image)[..., ::2, ::2]
        return image - blur(coarse)

    return ((edges(pred) - edges(target)).square() + eps**2).sqrt().mean()


class PlainHCL(nn.Module):
    """The hierarchical context loss as Eq. 2 reads: both maps are pooled, then compared."""

    def __init__(self, factors: Sequence[int]) -> None:
        super().__init__()
        self.factors = factors

    def forward(self, own: Tensor, wanted: Tensor) -> Tensor:
        """Compare a level ``(N, C, H, W)`` of the prior with the teacher's."""
        return sum(
            F.mse_loss(F.avg_pool2d(own, factor), F.avg_pool2d(wanted, factor))
            for factor in self.factors
            if factor <= min(own.shape[-2:])
        )


def plain_loss(loss: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """The textbook form of a restoration loss; itself, where it is that already."""
    kind = type(loss).__name__
    if kind == 'FrequencyLoss':
        return lambda pred, target: loss.loss_weight * plain_frequency(pred, target)
    if kind == 'EdgeLoss':
        return lambda pred, target: loss.loss_weight * plain_edge(pred, target, loss.eps)
    return loss


class PlainLoop:
    """One step of the reference.

    Args:
        config: of a runner; what makes its training fast is left out, in place.
        device: where to train.
        batch: as the loader hands it over.
    """

    def __init__(self, config: Config, device: torch.device, batch: Dict[str, Any]) -> None:
        self.device = device
        config.merge_from_dict({'model.channels_last': False, 'model.compile': False})
        if config.model.get('teacher'):
            config.model.teacher.pop('dtype', None)
        self.model = build_training(config, device)[0]
        if hasattr(self.model.generator, 'with_embedding_cp'):
            self.model.generator.with_embedding_cp = False
        hcl = getattr(self.model.prior_loss, 'hcl', None)
        if hcl is not None and hcl.reading == 'mse':
            self.model.prior_loss.hcl = PlainHCL(hcl.factors)
        settings = dict(config.optim_wrapper.optimizer)
        settings.pop('fused', None)
        self.optimizer = OPTIMIZERS.build(dict(settings, params=self.model.parameters()))
        self.clip = config.optim_wrapper.get('clip_grad')
        self.losses = {name: plain_loss(loss) for name, loss in self.model.losses.items()}
        sharp = [sample.gt_img for sample in batch['data_samples']]
        self.batch = [torch.stack(images) / 255 for images in (batch['inputs'], sharp)]

    def __call__(self) -> Dict[str, float]:
        """Train for one step and return the losses."""
        blurry, sharp = (images.to(self.device) for images in self.batch)
        self.optimizer.zero_grad()
        model, prior = self.model, None
        if model.prior_loss is None:
            outputs = model.generator(blurry)
        else:
            outputs, prior = model.generator.forward_with_prior(blurry)
        outputs = as_list(outputs)
        targets = model.multi_scale_targets(sharp, outputs)
        losses = {
            name: sum(loss(output, target) for output, target in zip(outputs, targets))
            for name, loss in self.losses.items()
        }
        if prior is not None:
            with torch.no_grad():
                features = model.teacher_features(blurry, sharp)
            losses['loss_prior'] = model.prior_loss(prior, features)
        sum(losses.values()).backward()
        if self.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), **self.clip)
        self.optimizer.step()
        return {name: loss.item() for name, loss in losses.items()}

    def from_nothing(self) -> None:
        """Train for one step and drop the gradients, which the next step would drop."""
        self()
        self.optimizer.zero_grad()


@contextmanager
def timed_parts(
    model: nn.Module, wrapper: OptimWrapper, device: torch.device
) -> Iterator[Dict[str, float]]:
    """Add up the seconds of a step's parts, each of them waited for, while the context lasts.

    The prior's time is that of its extractor and its cross-level connection; the seams count with
    the restorer, in whose forward they are. Of a compiled generator, which is one program, the
    prior's counts with the restorer's too.
    """
    spent = dict.fromkeys(PARTS, 0.0)

    def timed(function: Callable[..., Any], part: str, *args: Any, **kwargs: Any) -> Any:
        synchronise(device)
        start = time.perf_counter()
        result = function(*args, **kwargs)
        synchronise(device)
        spent[part] += time.perf_counter() - start
        return result

    seams = [
        (model.data_preprocessor, 'forward', 'data'),
        (model, '_restoration_losses', 'losses'),
        (wrapper, 'backward', 'backward'),
        (wrapper, 'step', 'optimizer'),
        (wrapper, 'zero_grad', 'optimizer'),
    ]
    if model.prior_loss is not None:
        seams += [(model, 'teacher_features', 'teacher'), (model.prior_loss, 'forward', 'losses')]
    if model.prior_loss is None or is_compiled(model):
        seams += [(model, '_compiled_generator', 'restorer')]
    else:
        seams += [
            (model.generator, 'compute_prior', 'prior'),
            (model.generator, 'restore_with_prior', 'restorer'),
        ]
    with ExitStack() as stack:
        for owner, name, part in seams:
            wrapped = partial(timed, getattr(owner, name), part)
            stack.enter_context(mock.patch.object(owner, name, wrapped))
        yield spent


def is_compiled(model: nn.Module) -> bool:
    """Whether the generator is one program."""
    return model._compiled_generator.options is not False


class OurStep:
    """One step of the project's own, as the runner makes it.

    Args:
        config: of a runner.
        device: where to train.
        batch: as the loader hands it over.
    """

    def __init__(self, config: Config, device: torch.device, batch: Dict[str, Any]) -> None:
        self.model, self.wrapper = build_training(config, device)
        self.device, self.batch = device, batch

    def __call__(self) -> Dict[str, Tensor]:
        """Train for one step and return the losses, which stay on the device."""
        losses = self.model.train_step(self.batch, self.wrapper)
        return {name: loss.detach() for name, loss in losses.items()}

    def parts(self) -> Dict[str, float]:
        """Seconds of the parts of one step; ``rest`` is what lies between them."""
        with timed_parts(self.model, self.wrapper, self.device) as spent:
            whole = time_in_turns({'step': self}, self.device, rounds=1, warm_up=0)['step'][0]
        return {**spent, 'rest': whole - sum(spent.values())}


def variant_config(args: argparse.Namespace, variant: str) -> Config:
    """The config of a variant."""
    config = read_config(args.config, args.cfg_options or {})
    if config.model.get('type') != 'mmspd.SemanticPriorDeblurrer':
        raise UserError(
            f'{args.config} has the model {config.model.get("type")}: a training step is measured '
            'of mmspd.SemanticPriorDeblurrer'
        )
    if args.weights == 'random':
        forget_weights(config)
    use_variant(config, variant)
    return config


def check_losses(steps: Dict[str, Callable[[], Dict[str, Any]]]) -> Dict[str, float]:
    """Make one step of each and return how far, relatively, its losses are from the reference's.

    Raises:
        RuntimeError: A float32 variant is off by more than rounding.
    """
    losses = {}
    for name, step in steps.items():
        torch.manual_seed(0)  # of dropout
        losses[name] = {key: float(value) for key, value in step().items() if key != 'loss'}
    reference = losses.pop('reference')
    off = {
        name: max(abs(found[key] / reference[key] - 1) for key in reference)
        for name, found in losses.items()
    }
    for name in EXACT & set(off):
        if not off[name] <= TOLERANCE:
            raise RuntimeError(f'{name} and the reference differ: {losses[name]}, {reference}')
    return off


def measure(args: argparse.Namespace, device: torch.device) -> Dict[str, Any]:
    """Measure the reference and all variants, in turns."""
    plain = variant_config(args, 'float32')
    batch = args.batch or plain.train_dataloader.batch_size
    data = loader_batch(batch, args.crop)
    ours = {name: OurStep(variant_config(args, name), device, data) for name in args.variants}
    reference = PlainLoop(plain, device, data)
    steps = {'reference': reference, **ours}
    off = check_losses(steps)
    seconds = time_in_turns(steps, device, args.rounds)
    parts = [{name: step.parts() for name, step in ours.items()} for _ in range(args.rounds)]
    found: Dict[str, Any] = dict(config=args.config, batch=batch, crop=args.crop, variants={})
    for name, step in steps.items():
        middle, low, high = summarize(seconds[name])
        figures: Dict[str, Any] = {
            'ms': [1e3 * value for value in (low, middle, high)],
            'images/s': batch / middle,
        }
        if name == 'reference':
            figures['peak MiB'] = allocated_peak(step.from_nothing, device) / MIB
        else:
            figures['peak MiB'] = allocated_peak(step, device) / MIB
            figures['held MiB'] = held_bytes(step.model, step.wrapper) / MIB
            figures['reference / it'] = paired_ratio(seconds['reference'], seconds[name])
            figures['losses off'] = off[name]
            figures['parts ms'] = {
                part: 1e3 * summarize([turn[name][part] for turn in parts]).median
                for part in (*PARTS, 'rest')
            }
            figures['settings'] = VARIANTS[name]
        found['variants'][name] = figures
    if args.profile:
        write_trace(ours[args.variants[-1]], device, args.profile)
    return found


def write_trace(step: OurStep, device: torch.device, path: Path) -> None:
    """Profile one step: write its trace, and print the operators that took longest."""
    activities = [ProfilerActivity.CPU]
    if device.type == 'cuda':
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as record:
        step()
        synchronise(device)
    path.parent.mkdir(parents=True, exist_ok=True)
    record.export_chrome_trace(str(path))
    order = f'self_{device.type}_time_total'
    print(record.key_averages().table(sort_by=order, row_limit=12, max_name_column_width=40))


def report(found: Dict[str, Any]) -> None:
    """Print two tables: how fast, and where the time goes."""
    print(f'{found["config"]}: batch {found["batch"]}, crop {found["crop"]}')
    rows, parts = [], []
    for name, figures in found['variants'].items():
        low, middle, high = figures['ms']
        row = [name, f'{middle:.0f} ({low:.0f}-{high:.0f})', f'{figures["images/s"]:.2f}']
        row.append(f'{figures["peak MiB"]:.0f}')
        if name == 'reference':
            rows.append([*row, '', '1', ''])
            continue
        ratio = figures['reference / it']
        row += [
            f'{figures["held MiB"]:.0f}',
            f'{ratio.median:.2f} ({ratio.low:.2f}-{ratio.high:.2f})',
        ]
        rows.append([*row, f'{figures["losses off"]:.0e}'])
        parts.append([name, *(f'{ms:.0f}' if ms else '-' for ms in figures['parts ms'].values())])
    header = ['', 'ms', 'images/s', 'peak MiB', 'held MiB', 'times as fast', 'losses off']
    print(text_table(header, rows))
    print('\nWhere the time goes, ms, every part waited for:')
    print(text_table(['', *PARTS, 'rest'], parts))


def main(argv: List[str]) -> None:
    """Measure and print."""
    args = parse_args(argv)
    for name in ('batch', 'crop', 'rounds'):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise UserError(f'--{name} {value}: give a number from 1 on')
    device = check_device(args.device)
    MMLogger.get_current_instance().setLevel('WARNING')
    torch.backends.cudnn.benchmark = True  # as the officials set it; all of them gain by it
    found = measure(args, device)
    report(found)
    if args.json:
        write_record(args.json, device, found, argv)


if __name__ == '__main__':
    run_main(main)
