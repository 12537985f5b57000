"""Compare the training step of a config with a plain loop, and measure the time of its parts.

python tools/benchmark/train_step.py configs/spd/mimounet_sp_gopro.py --batch 2 --crop 128

A step copies a batch to the device, restores it, runs the teacher on the sharp images, computes the
losses, and runs the backward pass and the optimizer. The batch is uint8 noise in memory, with the
structure of a DataLoader's batch. Loading and the runner's hooks are not measured. All weights are
random. If the config sets env_cfg.cudnn_benchmark, cuDNN searches for the fastest convolutions. The
search takes minutes, because it is repeated for every variant.

The reference is a plain training loop like those of the official MIMO-UNet and MPRNet projects. It
has the network, losses and weights of the config. It runs in float32 without TF32, eagerly, with
contiguous tensors. Its loader returns float images, the teacher runs after the restorer, and
.item() is called for each loss.
"""

import argparse
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Callable, Dict, Iterator, List
from unittest import mock

import torch
from common import make_parser, write_record
from measure import (
    allocated_peak,
    clock_for,
    paired_ratio,
    summarize,
    synchronize,
    time_in_turns,
)
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIMIZERS
from torch import Tensor, nn
from training_step import (
    VARIANTS,
    build_training,
    held_bytes,
    loader_batch,
    randomize_weights,
    use_variant,
)

from mmspd.apis.complexity import macs_of_call
from mmspd.errors import UsageError
from mmspd.models.guided import as_list
from mmspd.utils.cli import at_least_one, run_main
from mmspd.utils.config_check import require_keys
from mmspd.utils.device import check_device
from mmspd.utils.launch import add_cfg_options, read_config
from mmspd.utils.precision import convolutions
from mmspd.utils.tables import text_table

#: Variants whose losses differ from the losses of the reference only by rounding.
EXACT = {'float32', 'channels_last', 'fused', 'compile'}
#: Largest accepted relative difference of these losses from the losses of the reference. The first
#: value is for float32, the second for convolutions in TF32, which has ten bits of mantissa.
TOLERANCE, TOLERANCE_TF32 = 1e-4, 2e-3
PARTS = ('data', 'teacher', 'prior', 'restorer', 'losses', 'backward', 'optimizer')
MIB = 1 << 20


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__, rounds=10)
    parser.add_argument('config', help='config file, such as configs/spd/mimounet_sp_gopro.py')
    parser.add_argument('--batch', type=at_least_one, help="batch size (default: the config's)")
    parser.add_argument(
        '--crop', type=at_least_one, default=256, help='side of the crops in pixels (default: 256)'
    )
    parser.add_argument(
        '--variants',
        nargs='+',
        choices=VARIANTS,
        default=['float32'],
        help='variants of the step to measure (default: float32)',
    )
    add_cfg_options(parser)
    return parser.parse_args(argv)


class ReferenceStep:
    """A training step of the reference.

    Args:
        config: Config of a runner. Its speed options are removed in place.
        device: Device to train on.
        batch: Batch from the DataLoader.
    """

    def __init__(self, config: Config, device: torch.device, batch: Dict[str, Any]) -> None:
        self.device = device
        config.merge_from_dict({'model.channels_last': False, 'model.compile': False})
        if config.model.get('teacher'):
            config.model.teacher.pop('dtype', None)
        self.model = build_training(config, device)[0]
        if hasattr(self.model.generator, 'with_embedding_cp'):
            self.model.generator.with_embedding_cp = False
        settings = dict(config.optim_wrapper.optimizer)
        settings.pop('fused', None)
        self.optimizer = OPTIMIZERS.build(dict(settings, params=self.model.parameters()))
        self.clip = config.optim_wrapper.get('clip_grad')
        sharp = [sample.gt_img for sample in batch['data_samples']]
        self.batch = [torch.stack(images) / 255 for images in (batch['inputs'], sharp)]

    @convolutions(tf32=False)
    def __call__(self) -> Dict[str, float]:
        """Train for one step and return the losses."""
        blurry, sharp = (images.to(self.device) for images in self.batch)
        model = self.model
        if model.prior_loss is None:
            losses = model._restoration_losses(as_list(model.generator(blurry)), sharp)
        else:
            outputs, prior = model.generator.forward_with_prior(blurry)
            losses = model._restoration_losses(as_list(outputs), sharp)
            losses['loss_prior'] = model.prior_loss(prior, model.teacher_features(blurry, sharp))
        sum(losses.values()).backward()
        if self.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), **self.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return {name: loss.item() for name, loss in losses.items()}


@contextmanager
def timed_parts(
    model: nn.Module, wrapper: OptimWrapper, device: torch.device
) -> Iterator[Dict[str, float]]:
    """Measure the total time of each part of the training steps that run inside the context.

    The device is synchronized before and after each part. ``prior`` is the time of the extractor
    and of the cross-level connection. The seams are part of the forward pass of the restorer, so
    their time belongs to ``restorer``. A compiled generator is one program, so the whole time of
    its prior belongs to ``restorer``.

    Args:
        model: Model in training.
        wrapper: Optimizer wrapper of the model.
        device: Device of the model.

    Yields:
        A dict from each part to its seconds. The dict is complete when the context ends.
    """
    spent = dict.fromkeys(PARTS, 0.0)
    clock = clock_for(device)

    def timed(function: Callable[..., Any], part: str, *args: Any, **kwargs: Any) -> Any:
        synchronize(device)
        start = clock()
        result = function(*args, **kwargs)
        synchronize(device)
        spent[part] += clock() - start
        return result

    functions = [
        (model.data_preprocessor, 'forward', 'data'),
        (model, '_restoration_losses', 'losses'),
        (wrapper, 'backward', 'backward'),
        (wrapper, 'step', 'optimizer'),
        (wrapper, 'zero_grad', 'optimizer'),
    ]
    if model.prior_loss is not None:
        functions += [
            (model, 'teacher_features', 'teacher'),
            (model.prior_loss, 'forward', 'losses'),
        ]
    if model.prior_loss is None or model._compiled_generator.options is not False:
        functions += [(model, '_compiled_generator', 'restorer')]
    else:
        functions += [
            (model.generator, 'compute_prior', 'prior'),
            (model.generator, 'restore_with_prior', 'restorer'),
        ]
    with ExitStack() as stack:
        for owner, name, part in functions:
            wrapped = partial(timed, getattr(owner, name), part)
            stack.enter_context(mock.patch.object(owner, name, wrapped))
        yield spent


class Step:
    """A training step of a config, as a runner does it.

    Args:
        config: Config of a runner.
        device: Device to train on.
        batch: Batch from the DataLoader.
    """

    def __init__(self, config: Config, device: torch.device, batch: Dict[str, Any]) -> None:
        self.model, self.wrapper = build_training(config, device)
        self.device, self.batch = device, batch

    def __call__(self) -> Dict[str, Tensor]:
        """Train for one step and return the losses as tensors on the device."""
        losses = self.model.train_step(self.batch, self.wrapper)
        return {name: loss.detach() for name, loss in losses.items()}

    def parts(self) -> Dict[str, float]:
        """Return the seconds of each part of one step, and of the remaining time as ``rest``."""
        with timed_parts(self.model, self.wrapper, self.device) as spent:
            clock = clock_for(self.device)
            times = time_in_turns({'step': self}, self.device, rounds=1, warm_up=0, clock=clock)
        return {**spent, 'rest': times['step'][0] - sum(spent.values())}


def variant_config(args: argparse.Namespace, variant: str) -> Config:
    """Return the config of a variant.

    Args:
        args: Command line.
        variant: Key of :data:`~training_step.VARIANTS`.

    Raises:
        UsageError: The model of the config is not ``mmspd.SemanticPriorDeblurrer``.
    """
    config = read_config(args.config, args.cfg_options or {})
    require_keys(config, 'model', 'optim_wrapper')
    if config.model.get('type') != 'mmspd.SemanticPriorDeblurrer':
        raise UsageError(
            f'{args.config} has model.type={config.model.get("type")}; choose a config with '
            'model.type=mmspd.SemanticPriorDeblurrer.'
        )
    randomize_weights(config)
    use_variant(config, variant)
    return config


def check_losses(
    steps: Dict[str, Callable[[], Dict[str, Any]]], tolerance: float = TOLERANCE
) -> Dict[str, float]:
    """Run one step of each variant and compare the losses with those of the reference.

    The time of each step is printed, because a first step can take minutes.

    Args:
        steps: Dict from each variant, and from ``'reference'``, to its step.
        tolerance: Largest accepted relative difference of a variant in :data:`EXACT`.

    Returns:
        A dict from each variant to the largest relative difference of a loss from the reference.

    Raises:
        RuntimeError: A variant in :data:`EXACT` differs by more than rounding.
    """
    losses = {}
    for name, step in steps.items():
        torch.manual_seed(0)  # the same dropout in all variants
        start = time.perf_counter()
        losses[name] = {key: float(value) for key, value in step().items() if key != 'loss'}
        print(f'{name}: first step in {time.perf_counter() - start:.1f} s', flush=True)
    reference = losses.pop('reference')
    off = {
        name: max(abs(values[key] / reference[key] - 1) for key in reference)
        for name, values in losses.items()
    }
    for name in EXACT & set(off):
        if not off[name] <= tolerance:
            raise RuntimeError(
                f'The losses of {name}, {losses[name]}, differ from the reference, {reference}.'
            )
    return off


def measure(args: argparse.Namespace, device: torch.device) -> Dict[str, Any]:
    """Measure the reference and all variants in turns.

    Args:
        args: Command line.
        device: Device to train on.

    Returns:
        A dict with ``config``, ``batch``, ``crop``, ``macs`` (of a step of the reference), and
        ``variants``: a dict from each variant, and from ``'reference'``, to its measurements.
    """
    plain = variant_config(args, 'float32')
    torch.backends.cudnn.benchmark = bool(plain.get('env_cfg', {}).get('cudnn_benchmark'))
    batch = args.batch or plain.train_dataloader.batch_size
    data = loader_batch(batch, args.crop)
    variants = {name: Step(variant_config(args, name), device, data) for name in args.variants}
    steps = {'reference': ReferenceStep(plain, device, data), **variants}
    tf32 = device.type == 'cuda' and torch.backends.cudnn.allow_tf32
    off = check_losses(steps, TOLERANCE_TF32 if tf32 else TOLERANCE)
    seconds = time_in_turns(steps, device, args.rounds, clock=clock_for(device))
    parts = [{name: step.parts() for name, step in variants.items()} for _ in range(args.rounds)]
    rows: Dict[str, Dict[str, Any]] = {}
    for name, step in steps.items():
        spread = summarize([1e3 * value for value in seconds[name]])
        rows[name] = {
            'ms': spread,
            'images/s': 1e3 * batch / spread.median,
            'peak MiB': allocated_peak(step, device) / MIB,
        }
    for name, step in variants.items():
        rows[name].update(
            {
                'held MiB': held_bytes(step.model, step.wrapper) / MIB,
                'reference / it': paired_ratio(seconds['reference'], seconds[name]),
                'losses off': off[name],
                'parts ms': {
                    part: 1e3 * summarize([turn[name][part] for turn in parts]).median
                    for part in (*PARTS, 'rest')
                },
                'settings': VARIANTS[name],
            }
        )
    macs = macs_of_call(steps['reference'])
    return dict(config=args.config, batch=batch, crop=args.crop, macs=macs, variants=rows)


def report(results: Dict[str, Any]) -> str:
    """Return the tables of the speed of the variants, and of the time of their parts.

    Args:
        results: Results of :func:`measure`.
    """
    rows, parts = [], []
    for name, values in results['variants'].items():
        row = [name, values['ms'].text(0), f'{values["images/s"]:.2f}', f'{values["peak MiB"]:.0f}']
        if name == 'reference':
            rows.append([*row, '', '1', ''])
            continue
        row += [f'{values["held MiB"]:.0f}', values['reference / it'].text()]
        rows.append([*row, f'{values["losses off"]:.0e}'])
        parts.append([name, *(f'{ms:.0f}' if ms else '-' for ms in values['parts ms'].values())])
    header = ['', 'ms', 'images/s', 'peak MiB', 'held MiB', 'times as fast', 'losses off']
    return '\n'.join(
        [
            f'{results["config"]}, batch {results["batch"]}, crop {results["crop"]}:\n',
            text_table(header, rows),
            '\nTime of the parts in ms; the device is synchronized after each part:\n',
            text_table(['', *PARTS, 'rest'], parts),
        ]
    )


def main(argv: List[str]) -> None:
    """Measure, print the tables and write the results."""
    args = parse_args(argv)
    device = check_device(args.device)
    MMLogger.get_current_instance().setLevel('WARNING')
    results = measure(args, device)
    print(report(results))
    if args.json:
        write_record(args.json, device, results, argv)


if __name__ == '__main__':
    run_main(main)
