"""Examine the installation of mmspd: packages, devices, data and, on request, a training."""

import argparse
import subprocess
import sys
from typing import List

from mmspd.doctor import apply_fixes, examine, faults, render
from mmspd.utils.cli import run_main


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Exit code: 0 if mmspd is ready, 1 if something that it needs is missing or wrong.',
    )
    parser.add_argument('--data', action='store_true', help='also count the pairs of the data sets')
    parser.add_argument(
        '--train',
        action='store_true',
        help='also train a small network in each precision, with a stop and a resume (up to 30 s)',
    )
    parser.add_argument(
        '--fix',
        action='store_true',
        help='run the calls of pip that fix the faults of packages, and examine again',
    )
    return parser.parse_args(argv)


def main(argv: List[str]) -> int:
    """Print the report and return the exit code."""
    args = parse_args(argv)
    sections = examine(args.data, args.train)
    print(render(sections), flush=True)
    if args.fix and apply_fixes(sections):
        # this process has imported the old packages
        again = [sys.executable, __file__, *['--data'] * args.data, *['--train'] * args.train]
        return subprocess.run(again, check=False).returncode
    return int(bool(faults(sections)))


if __name__ == '__main__':
    run_main(main)
