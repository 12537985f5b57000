"""Check a data set of blurry and sharp images, or a pack, without modifying a file."""

import argparse
import json
from pathlib import Path
from typing import List

from mmspd.datasets.doctor import check_data
from mmspd.errors import UsageError
from mmspd.utils.cli import (
    add_pair_templates,
    at_least_one,
    output_file,
    run_main,
    zero_or_more,
)
from mmspd.utils.files import write_text
from mmspd.utils.launch import check_folder


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Exit code: 0 without warnings and faults, 2 for warnings and also for wrong '
        'arguments, 3 for faults, 1 if the check itself failed.',
    )
    parser.add_argument(
        'data_root',
        type=Path,
        help='folder of GoPro, HIDE, RealBlur, synthesized data or other pairs; or a pack',
    )
    parser.add_argument(
        '--workers', type=zero_or_more, default=2, help='number of processes (default: 2)'
    )
    parser.add_argument(
        '--json', type=output_file, metavar='FILE', help='also write the report as JSON'
    )
    parser.add_argument(
        '--quick', action='store_true', help='check only names, counts and image headers'
    )
    parser.add_argument(
        '--crop',
        type=at_least_one,
        default=256,
        help='side of the training crop in pixels (default: 256)',
    )
    add_pair_templates(parser)
    return parser.parse_args(argv)


def main(argv: List[str]) -> int:
    """Print the report and return the exit code."""
    args = parse_args(argv)
    check_folder(args.data_root, 'data folder')
    if args.json and args.data_root.resolve() in args.json.resolve().parents:
        raise UsageError(
            f'--json {args.json} is in the folder of the data set; choose another folder.'
        )
    report = check_data(
        args.data_root,
        args.workers,
        args.quick,
        args.crop,
        args.blur_template,
        args.sharp_template,
    )
    print(report.text())
    if args.json:
        write_text(args.json, json.dumps(report.to_dict(), indent=1) + '\n')
    return report.exit_code


if __name__ == '__main__':
    run_main(main)
