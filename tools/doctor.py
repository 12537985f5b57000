"""Examine the installation of mmspd: packages, devices, caches, environment variables and data."""

import argparse
from typing import List

from mmspd.doctor import examine, exit_code, render
from mmspd.utils.cli import run_main


def main(argv: List[str]) -> int:
    """Print the report and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Exit code: 0 if mmspd is ready, 1 if something that it needs is missing or wrong.',
    )
    parser.add_argument('--data', action='store_true', help='also count the pairs of the data sets')
    sections = examine(parser.parse_args(argv).data)
    print(render(sections))
    return exit_code(sections)


if __name__ == '__main__':
    run_main(main)
