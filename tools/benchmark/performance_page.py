"""Generate the tables of docs/performance.md from the results in docs/results/cpu.

python tools/benchmark/performance_page.py            # after you copied new results there
python tools/benchmark/performance_page.py --check    # only check that the page is up to date
"""

import argparse
from typing import List

from common import ROOT
from report import page, read_suite

from mmspd.errors import UserError
from mmspd.utils.cli import run_main
from mmspd.utils.generated_parts import replace_parts

PAGE = ROOT / 'docs' / 'performance.md'
RESULTS = ROOT / 'docs' / 'results' / 'cpu'


def main(argv: List[str]) -> None:
    """Write the page, or check it with ``--check``.

    Args:
        argv: Command-line arguments.

    Raises:
        UserError: The page is not up to date.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--check', action='store_true', help='write nothing; fail if the page differs'
    )
    args = parser.parse_args(argv)
    text = replace_parts(PAGE, {'performance': page(read_suite(RESULTS))})
    if not args.check:
        PAGE.write_text(text)
    elif PAGE.read_text() != text:
        raise UserError(
            f'{PAGE} differs from its results; run tools/benchmark/performance_page.py.'
        )
    print(f'{PAGE} is up to date.')


if __name__ == '__main__':
    run_main(main)
