r"""The cost model of a training run: measured with real processes, and written down for more.

measure   starts real distributed processes, takes the times of a step's parts, and compares the
          steps of 1, 2, ... processes with what the model says of them.
predict   hours of a run for 1 to 64 GPUs, from what was measured and what is given.

The model: a step takes its compute time, and what the backward pass cannot hide of a ring
all-reduce of the gradients; or the time of loading its batch, if that is longer.

python tools/benchmark/scaling.py measure configs/spd/mimounet_sp_gopro.py --processes 1 2 \
    --batch 1 --crop 64 --json parts.json
python tools/benchmark/scaling.py predict parts.json --bandwidth 20 --latency 10 --overlap 0.8
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch import distributed

from mmspd.apis.model import check_device
from mmspd.errors import UserError
from mmspd.registry import import_sibling
from mmspd.utils.benchmark import add_arguments, write_record
from mmspd.utils.cli import at_least_one, positive, run_main
from mmspd.utils.cost_model import (
    Link,
    Step,
    buckets_of,
    epoch_steps,
    fit_link,
    ring_seconds,
    step_seconds,
)
from mmspd.utils.ddp_timing import time_processes
from mmspd.utils.files import write_text
from mmspd.utils.launch import add_cfg_options, check_file, read_config
from mmspd.utils.tables import text_table
from mmspd.utils.training import VARIANTS, forget_weights, loader_batch, use_variant

MIB = 1 << 20
#: Pairs for training of GOPRO_Large.
GOPRO = 2103
#: Of one process, which sends nothing.
NO_LINK = Link(bandwidth=math.inf, latency=0.0)


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest='command', required=True)
    one = commands.add_parser('measure', help='take the times of the parts, check the model')
    one.add_argument('config', help='config file, e.g. configs/spd/mimounet_sp_gopro.py')
    one.add_argument(
        '--processes', type=at_least_one, nargs='+', default=[1, 2], help='default: 1 2'
    )
    one.add_argument('--threads', type=at_least_one, default=1, help='of each process (default: 1)')
    one.add_argument(
        '--batch', type=at_least_one, help="pairs of each process (default: the config's)"
    )
    one.add_argument('--crop', type=at_least_one, default=256, help='their side (default: 256)')
    one.add_argument(
        '--variant', choices=VARIANTS, default='float32', help='way to train (default: float32)'
    )
    one.add_argument('--raw', type=Path, help=argparse.SUPPRESS)  # for the processes it starts
    one.add_argument(
        '--samples',
        type=int,
        default=0,
        help="samples of the config's own data that one worker loads (default: 0, no loading)",
    )
    add_cfg_options(one)
    add_arguments(one, rounds=10)
    two = commands.add_parser('predict', help='hours of a run for more processes')
    two.add_argument('parts', help='JSON file that measure wrote')
    two.add_argument('--gpus', type=at_least_one, nargs='+', default=[1, 2, 4, 8, 16, 32, 64])
    two.add_argument(
        '--pairs', type=at_least_one, default=GOPRO, help=f'(default: {GOPRO}, of GoPro)'
    )
    two.add_argument('--epochs', type=at_least_one, nargs='+', default=[700, 3000])
    two.add_argument(
        '--bandwidth', type=positive, help='GB/s between processes, instead of measured'
    )
    two.add_argument(
        '--latency', type=positive, help='microseconds of a step of the ring, likewise'
    )
    two.add_argument('--workers', type=at_least_one, default=4, help='of each process (default: 4)')
    two.add_argument('--samples-per-worker', type=positive, help='per second, instead of measured')
    two.add_argument('--json', type=Path, help='write all figures to this file')
    for each in (one, two):
        each.add_argument(
            '--overlap',
            type=float,
            default=0.0,
            help='share of the backward pass that hides communication, 0 to 1 (default: 0)',
        )
    return parser.parse_args(argv)


def work(args: argparse.Namespace) -> None:
    """Be one of the processes; the first one writes what all found."""
    local = int(os.environ['LOCAL_RANK'])
    device = torch.device('cuda', local) if args.device == 'cuda' else torch.device(args.device)
    if device.type == 'cuda':
        torch.cuda.set_device(device)
    torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = True
    MMLogger.get_current_instance().setLevel('WARNING')
    distributed.init_process_group('nccl' if device.type == 'cuda' else 'gloo')
    config = read_config(args.config, args.cfg_options or {})
    forget_weights(config)
    use_variant(config, args.variant)
    data = loader_batch(args.batch, args.crop)
    gradient, cases = time_processes(config, data, device, args.processes, args.rounds)
    if distributed.get_rank() == 0:
        write_text(args.raw, json.dumps(dict(gradient=gradient, cases=cases)))
    distributed.destroy_process_group()


def loading_speed(config: Config, samples: int) -> Optional[float]:
    """Samples per second that one worker loads of the config's training data; None for none."""
    if samples == 0:
        return None
    import_sibling('mmagic')  # of its transforms
    init_default_scope(config.get('default_scope', 'mmagic'))
    loader = dict(config.train_dataloader, num_workers=1, batch_size=1, persistent_workers=True)
    batches = iter(Runner.build_dataloader(loader, seed=0))
    next(batches)  # the worker starts, and loads ahead what is counted as well
    start = time.perf_counter()
    count = sum(1 for _ in zip(range(samples), batches))
    return count / (time.perf_counter() - start)


def check_model(found: Dict[str, Any]) -> None:
    """Add what the model makes of the parts, and how far that is from the steps measured."""
    cases, gradient = found['cases'], found['gradient']
    rows = [
        (int(count), int(size), seconds)
        for count, case in cases.items()
        if count != '1'
        for size, seconds in case['all_reduce'].items()
    ]
    link = fit_link(rows) if rows else None
    found['link'] = link and link._asdict()
    first = cases[min(cases, key=int)]
    for count, case in cases.items():
        for name, parts in (('of the fewest', first), ('of its own', case)):
            step = Step(parts['compute'], parts['backward'], gradient, loading=0.0)
            seconds = step_seconds(step, int(count), link or NO_LINK, found['overlap'])
            case[f'model with the compute {name}'] = seconds
            case[f'error with the compute {name}'] = seconds / case['step'] - 1


def check_arguments(args: argparse.Namespace, config: Config) -> None:
    """Refuse what cannot be measured; the config's batch stands where none is given.

    Raises:
        UserError: An argument asks for nothing, or for more processes than there is room for.
    """
    if args.batch is None:
        args.batch = config.train_dataloader.batch_size
    if args.device == 'cuda':
        room, unit = torch.cuda.device_count(), 'GPUs'
    else:
        room, unit = len(os.sched_getaffinity(0)) // args.threads, 'processes of so many threads'
    if max(args.processes) > room:
        raise UserError(
            f'--processes {" ".join(map(str, args.processes))}: this machine has room for 1 to '
            f'{room} {unit}'
        )


def measure(args: argparse.Namespace, argv: List[str]) -> None:
    """Start the processes, compare what they found with the model, print and write it."""
    config = read_config(args.config, args.cfg_options or {})
    device = check_device(args.device)
    check_arguments(args, config)
    torch.set_num_threads(args.threads)
    found: Dict[str, Any] = dict(
        {
            'samples/s of a worker': loading_speed(config, args.samples),
            'recipe batch': config.get('auto_scale_lr', {}).get('base_batch_size'),
        },
        **{name: getattr(args, name) for name in ('config', 'variant', 'batch', 'crop', 'overlap')},
    )
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone']
    command += [f'--nproc-per-node={max(args.processes)}', __file__, *argv]
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / 'raw.json'
        done = subprocess.run(
            [*command, '--batch', str(args.batch), '--raw', str(raw)],
            env={**os.environ, 'OMP_NUM_THREADS': str(args.threads)},
            check=False,
        )
        if done.returncode:
            raise UserError('one of the processes failed; what is printed above says why')
        found.update(json.loads(raw.read_text()))
    check_model(found)
    report_measured(found)
    if args.json:
        write_record(args.json, device, found, argv)


def report_measured(found: Dict[str, Any]) -> None:
    """Print the parts and the model's error."""
    print(f'{found["config"]}, {found["variant"]}')
    print(f'each process: batch {found["batch"]}, crop {found["crop"]}')
    print(f'gradients {found["gradient"] / MIB:.1f} MiB, {buckets_of(found["gradient"])} buckets')
    rows = []
    for count, case in found['cases'].items():
        reduced = case['all_reduce'][str(found['gradient'])]
        seconds = [case[name] for name in ('step', 'compute', 'backward')] + [reduced]
        row = [str(count), *(f'{1e3 * value:.1f}' for value in seconds)]
        for name in ('of the fewest', 'of its own'):
            row.append(f'{1e3 * case[f"model with the compute {name}"]:.1f}')
            row.append(f'{100 * case[f"error with the compute {name}"]:+.1f} %')
        rows.append(row)
    header = ['processes', 'step ms', 'compute', 'backward', 'all-reduce']
    print(text_table([*header, 'model', 'error', 'model, own compute', 'error'], rows))
    if found['link']:
        print(
            f'the link: {found["link"]["bandwidth"] / 1e9:.3f} GB/s, '
            f'{1e6 * found["link"]["latency"]:.0f} microseconds; overlap {found["overlap"]}'
        )
    if found['samples/s of a worker']:
        print(f'a worker loads {found["samples/s of a worker"]:.1f} samples/s')


def predict(args: argparse.Namespace, argv: List[str]) -> None:
    """Print what a run takes for more processes, with every assumption."""
    try:
        record = json.loads(Path(check_file(args.parts, 'file of parts')).read_text())
        found, machine = record['found'], record['machine']
        cases = found['cases']
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f'{args.parts} is not what measure wrote: run it again') from error
    first = cases[min(cases, key=int)]
    link, link_told = find_link(args, found, machine)
    speed = args.samples_per_worker or found['samples/s of a worker']
    step = Step(
        first['compute'],
        first['backward'],
        found['gradient'],
        loading=found['batch'] / (speed * args.workers) if speed else 0.0,
    )
    recipe = found['recipe batch'] or found['batch']
    told = [
        f'training: {found["config"]}, {found["variant"]}',
        f'step: {1e3 * step.compute:.1f} ms, of it backward {1e3 * step.backward:.1f} ms; measured '
        f'with a batch of {found["batch"]}, crop {found["crop"]}, on {_processor(machine)}',
        f'gradients: {step.gradient / MIB:.1f} MiB in {buckets_of(step.gradient)} all-reduces',
        link_told,
        f'overlap: {args.overlap} of the backward pass; assumed',
        _loading_told(args, speed),
        f'data: {args.pairs} pairs; each GPU keeps its batch of {found["batch"]}',
        f'recipe: {recipe} pairs in a step of all GPUs together; with more, the same epochs have '
        'fewer steps and want a learning rate scaled to that',
        'not counted: validation, checkpoints, start-up, waiting for the slowest process',
    ]
    rows = [prediction(gpus, step, link, (found['batch'], recipe), args) for gpus in args.gpus]
    print('Assumptions\n' + '\n'.join(f'- {line}' for line in told))
    report_predicted(rows, args.epochs)
    if args.json:
        write_record(args.json, torch.device('cpu'), dict(assumptions=told, rows=rows), argv)


def find_link(args: argparse.Namespace, found: Dict[str, Any], machine: Any) -> Tuple[Link, str]:
    """The link that was given, or measured; and a line that says which."""
    measured = found['link'] or {}
    figures, sources = {}, {}
    for name, given, unit in (('bandwidth', args.bandwidth, 1e9), ('latency', args.latency, 1e-6)):
        figures[name] = measured.get(name) if given is None else given * unit
        sources[name] = 'measured' if given is None else 'assumed'
        if figures[name] is None:
            raise UserError(
                f'{args.parts} was measured with one process, so it has no {name}: give --{name}, '
                'or measure with --processes 1 2'
            )
    link = Link(**figures)
    where = f' among processes on one machine ({machine["device"]})'
    told = (
        f'ring: {link.bandwidth / 1e9:.3g} GB/s {sources["bandwidth"]}, '
        f'{1e6 * link.latency:.0f} microseconds {sources["latency"]}'
    )
    return link, told + (where if 'measured' in sources.values() else '')


def _processor(machine: Dict[str, Any]) -> str:
    return machine.get('accelerator') or f'{machine["processor"]}, threads: {machine["threads"]}'


def _loading_told(args: argparse.Namespace, speed: Optional[float]) -> str:
    if not speed:
        return 'loading: taken to keep up; not measured'
    source = 'measured' if args.samples_per_worker is None else 'assumed'
    return (
        f'loading: {args.workers} workers of each GPU (assumed) load {speed:.3g} samples/s each '
        f'({source}), whatever the number of GPUs'
    )


def prediction(
    gpus: int, step: Step, link: Link, batches: Tuple[int, int], args: argparse.Namespace
) -> Dict[str, Any]:
    """One row: a step, what bounds it, and the hours of a run.

    The hours are told twice: for the epochs of the recipe, whose steps become fewer as the batch of
    all GPUs grows, and for as many steps as the recipe has.
    """
    batch, recipe = batches
    seconds = step_seconds(step, gpus, link, args.overlap)
    ring = ring_seconds(gpus, step.gradient, link, buckets_of(step.gradient))
    if seconds == step.loading:
        bound = 'loading'
    else:
        bound = 'compute' if seconds == step.compute else 'compute + communication'
    return dict(
        gpus=gpus,
        step=seconds,
        all_reduce=ring,
        speed=gpus * batch / seconds,
        efficiency=max(step.compute, step.loading) / seconds,
        bound=bound,
        hours={
            epochs: dict(
                epochs=epochs * epoch_steps(args.pairs, batch, gpus) * seconds / 3600,
                steps=epochs * epoch_steps(args.pairs, recipe, 1) * seconds / 3600,
            )
            for epochs in args.epochs
        },
    )


def report_predicted(rows: List[Dict[str, Any]], epochs: List[int]) -> None:
    """Print the table of hours."""
    header = ['GPUs', 'step ms', 'all-reduce ms', 'images/s', 'efficiency', 'bound by']
    header += [f'{count} epochs, h' for count in epochs]
    header += [f'steps of {count} epochs, h' for count in epochs]
    table = []
    for row in rows:
        cells = [f'{row["gpus"]}', f'{1e3 * row["step"]:.1f}', f'{1e3 * row["all_reduce"]:.2f}']
        cells += [f'{row["speed"]:.1f}', f'{100 * row["efficiency"]:.0f} %', row['bound']]
        cells += [
            f'{row["hours"][count][kind]:.1f}' for kind in ('epochs', 'steps') for count in epochs
        ]
        table.append(cells)
    print(text_table(header, table))


def main(argv: List[str]) -> None:
    """Measure or predict."""
    args = parse_args(argv)
    if not 0 <= args.overlap <= 1:
        raise UserError(f'--overlap {args.overlap}: give a share from 0 to 1')
    if args.command == 'predict':
        predict(args, argv)
    elif args.raw:
        work(args)
    else:
        measure(args, argv)


if __name__ == '__main__':
    run_main(main)
