"""Make the tables and plots of a study.

python projects/prior_study/report.py projects/prior_study/configs/main.py \
    projects/prior_study/results/main --results work_dirs/study/main
"""

import argparse
from pathlib import Path
from typing import List

from prior_study.archive import add_runs
from prior_study.plan import Study
from prior_study.report import Results, write_report

from mmspd.utils.cli import run_main


def main(argv: List[str]) -> None:
    """Write the report and print its path."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog='The folder of the report has an archive of all runs in runs/. Without --results, '
        'the report is made from this archive.',
    )
    parser.add_argument('study', help='file of the study, such as configs/main.py of this project')
    parser.add_argument('out', type=Path, help='folder for README.md, the plots and the archive')
    parser.add_argument(
        '--results',
        type=Path,
        help='output folder of projects/prior_study/run.py; its finished runs are added to the '
        'archive',
    )
    args = parser.parse_args(argv)
    archive = args.out / 'runs'
    study = Study(args.study)
    if args.results:
        print(f"'{archive}' got {add_runs(args.results, archive, study.reported)} runs.")
    results = Results(study, archive)
    page = write_report(results, args.out)
    runs = sum(map(len, results.runs.values()))
    print(f"'{page}' is the report of {runs} runs of {len(results.runs)} variants.")


if __name__ == '__main__':
    run_main(main)
