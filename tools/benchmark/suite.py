"""Run all benchmarks in order of value, in a limited time.

python tools/benchmark/suite.py --minutes 8 --out benchmarks

Each part is a command of one of the other benchmarks and runs in a process of its own. A part is
left out if less than its usual time is left. It is stopped after four times its usual time, and
when the time is over. If a part fails, the others go on.

After each part, OUT has the part's results (NAME.json) and output (NAME.log), the states of all
parts (suite.json), and a page with all tables (performance.md). No files are downloaded.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, Iterable, List, NamedTuple, Tuple

import torch
from common import command_line
from report import SUITE, page, read_suite, summary

from mmspd.errors import UsageError, UserError
from mmspd.utils.cli import output_folder, positive, run_main
from mmspd.utils.files import write_text

HERE = Path(__file__).resolve().parent
#: A part is stopped after its usual time, multiplied by this number.
PATIENCE = 4
#: Seconds in which a stopped part may delete its temporary files.
GRACE = 5
PAGE = 'performance.md'


class Part(NamedTuple):
    """A part of the suite.

    Attributes:
        name: Name of its files.
        title: Heading on the page.
        tool: Name of the benchmark.
        arguments: Arguments of the benchmark, separated by spaces.
        seconds: Usual time on the CPU, or on a GPU.
    """

    name: str
    title: str
    tool: str
    arguments: str
    seconds: float


#: Long trainings and the official projects let cuDNN tune the convolutions.
TUNED = 'env_cfg.cudnn_benchmark=True'
#: Parts for each device, in order of value. The sizes fit the speed of the device.
PARTS: Dict[str, Tuple[Part, ...]] = {
    'cpu': (
        Part('ceilings', 'Ceilings of the machine', 'ceilings', '--rounds 10', 10),
        Part(
            'train_mimounet',
            'Training step, MIMO-UNet with the prior',
            'train_step',
            'mimounet_sp_gopro --batch 1 --crop 96 --rounds 8 --variants float32 fast',
            60,
        ),
        Part(
            'train_unet',
            'Training step, UNet with the prior',
            'train_step',
            'unet_sp_gopro --batch 1 --crop 96 --rounds 8 --variants float32 fast',
            60,
        ),
        Part('inference', 'Inference', 'inference', 'mimounet unet --sizes 128x128 --rounds 5', 40),
        Part(
            'prior',
            'Cost of the prior',
            'overhead',
            'unet mimounet mprnet-s1 mssnet --size 128 128 --crop 64 --rounds 6',
            80,
        ),
        Part('data', 'Data loading', 'data_loading', '--workers 2', 30),
        Part('blur', 'Blur synthesis', 'blur_synthesis', '--rounds 3', 15),
        Part('run', 'Training run', 'training_run', 'quickstart --workers 1 --seconds 60', 75),
        Part(
            'train_compiled',
            'Training step, compiled',
            'train_step',
            'mimounet_sp_gopro --batch 1 --crop 96 --rounds 4 --variants fast_compile',
            300,
        ),
    ),
    'cuda': (
        Part('ceilings', 'Ceilings of the machine', 'ceilings', '--device cuda --rounds 20', 15),
        Part(
            'train_mimounet',
            'Training step, MIMO-UNet with the prior',
            'train_step',
            'mimounet_sp_gopro --device cuda --batch 8 --crop 256 --rounds 10 --variants float32 '
            f'fast --cfg-options {TUNED}',
            75,
        ),
        Part(
            'train_unet',
            'Training step, UNet with the prior',
            'train_step',
            'unet_sp_gopro --device cuda --batch 8 --crop 256 --rounds 10 --variants float32 '
            f'fast --cfg-options {TUNED}',
            60,
        ),
        Part(
            'inference',
            'Inference',
            'inference',
            'mimounet unet --device cuda --sizes 720x1280 --precision float32 tf32 bfloat16 '
            'float16 --rounds 10',
            40,
        ),
        Part(
            'prior',
            'Cost of the prior',
            'overhead',
            'unet mimounet mprnet-s1 mssnet nafnet --device cuda --size 720 1280 --batch 4 '
            '--crop 256 --rounds 5',
            70,
        ),
        Part('data', 'Data loading', 'data_loading', '--workers 1 4 8', 60),
        Part('blur', 'Blur synthesis', 'blur_synthesis', '--device cuda --batch 8', 15),
        Part(
            'run',
            'Training run',
            'training_run',
            'quickstart --workers 4 --variant fast --seconds 60',
            90,
        ),
        Part(
            'train_compiled',
            'Training step, compiled',
            'train_step',
            'mimounet_sp_gopro --device cuda --batch 8 --crop 256 --rounds 10 --variants '
            f'fast_compile --cfg-options {TUNED}',
            120,
        ),
    ),
}


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--minutes', type=positive, default=8, help='time for all parts (default: 8)'
    )
    parser.add_argument('--out', type=output_folder, required=True, help='folder for the results')
    parser.add_argument(
        '--device',
        choices=('cpu', 'cuda'),
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='device to measure (default: cuda if there is a GPU)',
    )
    return parser.parse_args(argv)


def stop(process: subprocess.Popen) -> None:
    """End a process and its children: first politely, then at once.

    Args:
        process: Process that leads its own group.
    """
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    with suppress(ProcessLookupError):  # no process of the group is left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def run_part(part: Part, arguments: List[str], out: Path, device: str, limit: float) -> str:
    """Run a part and wait for its end.

    Args:
        part: The part.
        arguments: Arguments of its benchmark.
        out: Folder for the results.
        device: ``'cpu'`` or ``'cuda'``.
        limit: Largest number of seconds.

    Returns:
        An empty text for success, or else the reason of the failure.
    """
    log = out / f'{part.name}.log'
    with tempfile.TemporaryDirectory() as temporary, log.open('wb') as file:
        environment = {**os.environ, 'TMPDIR': temporary}
        if device == 'cpu':
            environment['CUDA_VISIBLE_DEVICES'] = ''
        process = subprocess.Popen(
            [sys.executable, str(HERE / f'{part.tool}.py'), *arguments],
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            return f'stopped after {limit:.0f} s'
        finally:
            stop(process)
    if code == 0:
        return ''
    lines = log.read_text(errors='replace').split('\n')
    return next((line for line in reversed(lines) if line.strip()), f'exit code {code}')


def run_parts(parts: Iterable[Part], out: Path, device: str, minutes: float) -> List[str]:
    """Run the parts, and write the states and the page after each of them.

    Args:
        parts: Parts in their order.
        out: Folder for the results.
        device: ``'cpu'`` or ``'cuda'``.
        minutes: Time for all parts.

    Returns:
        The names of the parts that failed.
    """
    end = time.monotonic() + 60 * minutes
    entries: List[Dict[str, Any]] = []
    failed = []
    for part in parts:
        results = out / f'{part.name}.json'
        results.unlink(missing_ok=True)  # of an earlier run
        arguments = [*part.arguments.split(), '--json', str(results)]
        entry = dict(
            name=part.name,
            title=part.title,
            tool=part.tool,
            command=command_line(str(HERE / f'{part.tool}.py'), arguments),
            state='measured',
            reason='',
            seconds=None,
        )
        start = time.monotonic()
        left = end - start
        if left < part.seconds:
            entry.update(
                state='left out',
                reason=f'it usually takes {part.seconds:g} s, but {max(left, 0):.0f} s were left',
            )
        else:
            limit = min(left, PATIENCE * part.seconds)
            reason = run_part(part, arguments, out, device, limit)
            entry['seconds'] = time.monotonic() - start
            if reason:
                entry.update(state='incomplete' if results.is_file() else 'failed', reason=reason)
                failed.append(part.name)
        entries.append(entry)
        write_text(out / SUITE, json.dumps(dict(parts=entries), indent=1) + '\n')
        write_text(out / PAGE, page(read_suite(out)))
        print(f'{time.monotonic() - start:.0f} s  {part.name}: {entry["state"]}', end='')
        print(f' ({entry["reason"]})' if entry['reason'] else '', flush=True)
    return failed


def main(argv: List[str]) -> None:
    """Run the parts and print the table.

    Raises:
        UsageError: The device is missing, or no part fits the time.
        UserError: A part failed.
    """
    args = parse_args(argv)
    if args.device == 'cuda' and not torch.cuda.is_available():
        raise UsageError('PyTorch finds no GPU; use --device cpu.')
    parts = PARTS[args.device]
    if 60 * args.minutes < parts[0].seconds:
        raise UsageError(
            f'--minutes {args.minutes:g} is too short, because the first part usually takes '
            f'{parts[0].seconds:g} s; use more minutes.'
        )
    args.out.mkdir(parents=True, exist_ok=True)
    failed = run_parts(parts, args.out, args.device, args.minutes)
    print(f'\n{summary(read_suite(args.out))}\n\nThe page with all tables: {args.out / PAGE}')
    if failed:
        raise UserError(f'These parts failed: {", ".join(failed)}; read their logs in {args.out}.')


if __name__ == '__main__':
    run_main(main)
