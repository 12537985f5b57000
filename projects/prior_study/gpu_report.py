"""Make the report of gpu.py, also from the results of a command that was cut off.

python projects/prior_study/gpu_report.py work_dirs/gpu/results
"""

import argparse
from pathlib import Path
from typing import List

from prior_study.turns_report import read_curves, write_report
from prior_study.turns_run import RECORD_NAME

from mmspd.utils.cli import run_main


def main(argv: List[str]) -> None:
    """Write the report and print its path."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('results', type=Path, help=f'output folder of gpu.py, with {RECORD_NAME}')
    args = parser.parse_args(argv)
    record = read_curves(args.results / RECORD_NAME)
    print(f"'{write_report(record, args.results)}' is the report.")


if __name__ == '__main__':
    run_main(main)
