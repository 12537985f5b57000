"""Make the tables and plots of a study from the results of its runs.

python projects/prior_study/report.py work_dirs/study/main --out results
"""

import argparse
from pathlib import Path
from typing import List

from prior_study.report import load_records, write_report

from mmspd.utils.cli import run_main


def main(argv: List[str]) -> None:
    """Write the report and print its path."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('results', type=Path, help='output folder of projects/prior_study/run.py')
    parser.add_argument(
        '--out', type=Path, required=True, help='folder for README.md and the plots'
    )
    parser.add_argument(
        '--reference',
        nargs='+',
        default=['net0'],
        metavar='VARIANT',
        help='variants with which all variants are compared (default: net0)',
    )
    parser.add_argument(
        '--only',
        nargs='+',
        metavar='VARIANT',
        help='report only these variants and the references (default: all)',
    )
    args = parser.parse_args(argv)
    first = [*args.reference, *(args.only or ())]
    records = load_records(args.results, first, only=bool(args.only))
    page = write_report(records, args.out, args.reference)
    runs = sum(map(len, records.values()))
    print(f"'{page}' is the report of {runs} runs of {len(records)} variants.")


if __name__ == '__main__':
    run_main(main)
