"""Examine a data set of blurry and sharp images; nothing in its folder is changed."""

import argparse
import json
from pathlib import Path
from typing import List

from mmspd.datasets.doctor import check_data
from mmspd.errors import UserError
from mmspd.utils.cli import run_main
from mmspd.utils.files import write_text


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Exit code: 0 all is well (notes at most), 2 warnings, 3 faults, 1 the check itself '
        'was not possible.',
    )
    parser.add_argument(
        'data_root',
        type=Path,
        help='folder of GoPro, HIDE, RealBlur, synthesized or any other pairs; or a pack',
    )
    parser.add_argument('--workers', type=int, default=2, help='processes (default: 2)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the report to a file too')
    parser.add_argument(
        '--quick', action='store_true', help='look at names, counts and image headers alone'
    )
    parser.add_argument(
        '--crop', type=int, default=256, help='side of the training crop in pixels (default: 256)'
    )
    return parser.parse_args(argv)


def main(argv: List[str]) -> int:
    """Print the report and return the exit code."""
    args = parse_args(argv)
    if args.json and args.data_root.resolve() in args.json.resolve().parents:
        raise UserError(f"--json {args.json} lies in the data set's folder: choose another place")
    report = check_data(args.data_root, args.workers, args.quick, args.crop)
    print(report.text())
    if args.json:
        write_text(args.json, json.dumps(report.to_dict(), indent=1) + '\n')
    return report.exit_code


if __name__ == '__main__':
    run_main(main)
