"""Train the variants of a study in turns on one GPU for some minutes, and test them.

python projects/prior_study/gpu.py projects/prior_study/configs/gpu.py --minutes 8.5 \
    --train BSDS500/train BSDS500/test --test kodak24=KODAK24 --pairs reds=REDS/test
"""

import argparse
import os
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Dict, List

import cv2
import torch
from mmengine.logging import MMLogger
from prior_study.arguments import named_folder
from prior_study.plan import Row, Study
from prior_study.turns_data import BLURS, blur_photos, load_pairs, use_photos
from prior_study.turns_report import write_report
from prior_study.turns_run import RECORD_NAME, Comparison

from mmspd.utils.cli import at_least_one, positive, run_main, zero_or_more
from mmspd.utils.device import check_device, computes_natively, describe_machine
from mmspd.version import __version__
from mmspd.weights.required import locate_required_weights


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog=f'{RECORD_NAME} in the output folder is written after each evaluation. If the '
        'command is cut off, projects/prior_study/gpu_report.py makes the report from it. A '
        'second call replaces the results of the first.',
    )
    parser.add_argument('study', help='file of the study, such as configs/gpu.py of this project')
    parser.add_argument(
        '--train', type=Path, nargs='+', required=True, help='folders of sharp photos to train on'
    )
    parser.add_argument(
        '--test',
        type=named_folder,
        nargs='+',
        required=True,
        metavar='NAME=FOLDER',
        help='folders of sharp photos to blur and test on, also during training',
    )
    parser.add_argument(
        '--pairs',
        type=named_folder,
        nargs='+',
        default=[],
        metavar='NAME=FOLDER',
        help='folders of pairs to test on after training',
    )
    parser.add_argument(
        '--minutes',
        type=positive,
        default=8.5,
        help='time limit of data, training and tests in minutes (default: 8.5)',
    )
    parser.add_argument(
        '--seeds',
        type=at_least_one,
        default=1,
        metavar='N',
        help='number of seeds, which share the time (default: 1)',
    )
    parser.add_argument(
        '--turn', type=positive, default=5, help='longest turn of a variant in s (default: 5)'
    )
    parser.add_argument(
        '--workers',
        type=zero_or_more,
        default=min(12, os.cpu_count() or 1),
        help='processes that load the data of a variant (default: one per core, at most 12)',
    )
    parser.add_argument(
        '--device', choices=('cuda', 'cpu'), default='cuda', help='device (default: cuda)'
    )
    parser.add_argument(
        '--reference',
        default='widened',
        metavar='VARIANT',
        help='variant with which the report compares the others (default: widened)',
    )
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('work_dirs/gpu/results'),
        help='output folder (default: work_dirs/gpu/results)',
    )
    parser.add_argument(
        '--blurred',
        type=Path,
        default=Path('work_dirs/gpu/blurred'),
        help='folder for the blurred photos of --test (default: work_dirs/gpu/blurred)',
    )
    args = parser.parse_args(argv)
    names = [name for name, _ in args.test + args.pairs]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        parser.error(f"Two test sets have the name '{twice[0]}'; give each a different name.")
    return args


def make_record(
    args: argparse.Namespace, argv: List[str], study: Study, device: torch.device
) -> Dict[str, Any]:
    """Describe the comparison.

    Args:
        args: Command line.
        argv: The same, as words.
        study: The study.
        device: Device of the trainings.
    """
    return dict(
        schema=1,
        command=' '.join(['python projects/prior_study/gpu.py', *argv]),
        date=datetime.now(timezone.utc).isoformat(timespec='seconds'),
        machine=dict(describe_machine(device), mmspd=__version__),
        precision=study.dtype or 'float32',
        minutes=args.minutes,
        turn=args.turn,
        reference=args.reference,
        blurs=BLURS,
        about={name: variant.about for name, variant in study.variants.items()},
    )


def main(argv: List[str]) -> None:
    """Compare the variants and write the report."""
    args = parse_args(argv)
    end = time.time() + 60 * args.minutes
    MMLogger.get_current_instance().setLevel('WARNING')
    cv2.setNumThreads(0)  # the workers of the data loaders share the cores
    device = check_device(args.device)
    dtype = 'bfloat16' if computes_natively(device, 'bfloat16') else None
    study = Study(args.study, dtype)
    study.variant(args.reference)
    rows = study.rows(seeds=[0])
    for row in rows:
        locate_required_weights(study.config(row))
    blurred = [
        blur_photos(name, folder, args.blurred / name, args.workers) for name, folder in args.test
    ]
    tests = blurred + [load_pairs(name, folder) for name, folder in args.pairs]
    comparison = Comparison(
        make_record(args, argv, study, device),
        tests,
        [test.one_per_photo() for test in blurred],
        device,
        args.out,
    )
    for seed in range(args.seeds):
        configs = {row.variant: study.config(Row(row.variant, seed)) for row in rows}
        for config in configs.values():
            use_photos(config, args.train, args.workers)
        left = (end - time.time()) / (args.seeds - seed)
        comparison.run(configs, seed, args.turn, time.time() + left)
    print(f"'{write_report(comparison.record, args.out)}' is the report.")


if __name__ == '__main__':
    run_main(main)
