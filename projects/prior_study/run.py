"""Run the unfinished variants of a study, several at a time, in the study's order.

python projects/prior_study/run.py projects/prior_study/configs/main.py --jobs 2 --minutes 60
python projects/prior_study/run.py projects/prior_study/configs/main.py --only distilled --seeds 0
"""

import argparse
import datetime
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from mmengine.logging import MMLogger
from prior_study.archive import has_run
from prior_study.plan import Row, Study, digest_of
from prior_study.precision import read_dtype, settle_dtype
from prior_study.record import DONE, NOT_BEGUN, read_record
from prior_study.training import check_record, run_row

from mmspd.utils.cli import at_least_one, run_main
from mmspd.utils.device import check_device
from mmspd.utils.precision import warn_if_slow

_FOREVER = float('inf')


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog='The same command continues stopped runs, repeats failed runs and skips finished '
        'runs. projects/prior_study/report.py makes the tables.',
    )
    parser.add_argument('study', help='file of the study, such as configs/main.py of this project')
    parser.add_argument(
        '--out', type=Path, help='output folder (default: work_dirs/study/<name of the study>)'
    )
    parser.add_argument(
        '--archive',
        type=Path,
        help='folder of archived runs, made by report.py; the runs in it are not repeated',
    )
    parser.add_argument(
        '--only', nargs='+', metavar='VARIANT', help='run only these variants (default: all)'
    )
    parser.add_argument(
        '--seeds', nargs='+', type=int, help="run only these seeds (default: the study's seeds)"
    )
    parser.add_argument(
        '--jobs', type=at_least_one, default=2, help='number of runs at a time (default: 2)'
    )
    parser.add_argument(
        '--threads', type=at_least_one, default=1, help='CPU threads per run (default: 1)'
    )
    parser.add_argument(
        '--device', choices=('cpu', 'cuda'), default='cpu', help='device (default: cpu)'
    )
    limit = parser.add_mutually_exclusive_group()
    limit.add_argument(
        '--minutes',
        type=float,
        help='time limit in minutes; a run stops after an epoch if the next epoch would exceed the '
        'limit',
    )
    limit.add_argument('--until', type=_clock, metavar='HH:MM', help='time limit as a time of day')
    parser.add_argument('--list', action='store_true', help='print the status of the runs and exit')
    parser.add_argument('--row', nargs=2, help=argparse.SUPPRESS)  # one run, in this process
    parser.add_argument('--deadline', type=float, default=_FOREVER, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def _clock(text: str) -> float:
    """Parse ``HH:MM`` and return its next occurrence, in seconds since 1970."""
    try:
        clock = datetime.datetime.strptime(text, '%H:%M').time()
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f'{text!r} is not a time; write HH:MM, such as 07:30.'
        ) from error
    now = datetime.datetime.now()
    then = datetime.datetime.combine(now.date(), clock)
    return (then if then > now else then + datetime.timedelta(days=1)).timestamp()


def describe(record: Dict[str, Any]) -> str:
    """Summarize a record in one line."""
    if record['status'] == NOT_BEGUN:
        return NOT_BEGUN
    if record['status'] == 'failed':
        return f'failed: {record["error"]}'
    parts = [record['status']]
    epochs = record.get('epochs')
    if epochs:
        parts.append(f'{epochs[-1]["step"]} steps')
        parts.append(f'{sum(epoch["seconds"] for epoch in epochs) / 60:.1f} min')
    if record['status'] == DONE:
        tests = record['tests'].items()
        parts += [f'{name} {test["metrics"]["PSNR"]:.2f}' for name, test in tests]
    return ', '.join(parts)


def start(row: Row, args: argparse.Namespace) -> subprocess.Popen:
    """Start a run in a new process; ``log.txt`` in the run's folder receives the output."""
    folder = row.folder(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ, OMP_NUM_THREADS=str(args.threads))
    if args.device == 'cpu':
        environment['CUDA_VISIBLE_DEVICES'] = ''
    command = [sys.executable, __file__, args.study, '--out', str(args.out)]
    command += ['--row', row.variant, str(row.seed), '--deadline', str(args.deadline)]
    with open(folder / 'log.txt', 'a') as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)


def run_all(study: Study, rows: List[Row], args: argparse.Namespace) -> Dict[Row, bool]:
    """Run the rows until the deadline.

    Returns:
        A dict from each run that ended to whether it succeeded.
    """
    waiting, ended = list(rows), {}
    running: List[Tuple[Row, subprocess.Popen]] = []
    try:
        while True:
            while len(running) < args.jobs and time.time() < args.deadline:
                row = _next(study, waiting, args.out)
                if row is None:
                    break
                waiting.remove(row)
                print(f'{row}: started', flush=True)
                running.append((row, start(row, args)))
            if not running:
                return ended
            time.sleep(0.2)
            for row, process in [pair for pair in running if pair[1].poll() is not None]:
                running.remove((row, process))
                ended[row] = process.returncode == 0
                print(f'{row}: {_outcome(row, process, args.out)}', flush=True)
    finally:
        for _, process in running:
            process.terminate()
            process.wait()


def _next(study: Study, waiting: List[Row], results: Path) -> Optional[Row]:
    """Return the first waiting run that needs no other run, or whose needed run is done."""
    for row in waiting:
        needs = study.variant(row.variant).needs
        if not needs or _is_done(Row(needs, row.seed), results):
            return row
    return None


def _is_done(row: Row, results: Path) -> bool:
    return read_record(row.folder(results))['status'] == DONE


def _outcome(row: Row, process: subprocess.Popen, results: Path) -> str:
    """Describe how a run ended."""
    folder = row.folder(results)
    record = read_record(folder)
    if process.returncode and record['status'] != 'failed':
        return f"failed with exit code {process.returncode}; read '{folder}/log.txt'"
    return describe(record)


def main(argv: List[str]) -> Optional[int]:
    """Run the study, or one run with ``--row``."""
    args = parse_args(argv)
    if not args.row:  # MMEngine logs a note for each of many configs
        MMLogger.get_current_instance().setLevel('WARNING')
    args.out = args.out or Path('work_dirs', 'study', Path(args.study).stem)
    study = Study(args.study, read_dtype(args.out))
    if args.row:
        row = Row(args.row[0], int(args.row[1]))
        return int(run_row(study, row, args.out, args.deadline)['status'] == 'failed')
    rows = study.rows(args.only, args.seeds)
    if args.list:
        for row in rows:
            print(f'{row}: {describe(read_record(row.folder(args.out)))}')
        return None
    device = check_device(args.device)
    dtype = settle_dtype(args.out, device)
    warn_if_slow(device, dtype or 'float32')
    study = Study(args.study, dtype)
    args.deadline = args.until or (time.time() + 60 * args.minutes if args.minutes else _FOREVER)
    # check all existing results before the first run starts
    left = [row for row in rows if check_record(study, row, args.out)['status'] != DONE]
    if args.archive:
        left = [
            row for row in left if not has_run(args.archive, *row, digest_of(study.config(row)))
        ]
    ended = run_all(study, left, args)
    done = len(rows) - len(left) + sum(_is_done(row, args.out) for row in left)
    print(f"{done} of {len(rows)} runs are done; '{args.out}' holds the results.")
    return int(not all(ended.values()))


if __name__ == '__main__':
    run_main(main)
