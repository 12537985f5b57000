"""Make the page of the earlier runs from results/earlier.csv.

python projects/prior_study/earlier.py
"""

import argparse
from pathlib import Path
from typing import List

from prior_study.earlier import write_earlier

from mmspd.utils.cli import run_main

RESULTS = Path(__file__).parent / 'results'


def main(argv: List[str]) -> None:
    """Write the page and print its path."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args(argv)
    page = RESULTS / 'earlier.md'
    write_earlier(RESULTS / 'earlier.csv', page)
    print(f"'{page}' is the page of the earlier runs.")


if __name__ == '__main__':
    run_main(main)
