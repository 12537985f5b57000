"""What the benchmarks share: arguments, pairs of configs, a photo and the record of a run."""

import argparse
import json
import re
import sys
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, List, NamedTuple, Union

import cv2
import numpy as np
import torch
from torch import nn

from mmspd.errors import UserError
from mmspd.utils.cli import at_least_one
from mmspd.utils.device import describe_machine
from mmspd.utils.files import write_text
from mmspd.utils.launch import check_file

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
#: Names of the restorers that have a GoPro config without and with the prior.
RESTORERS = tuple(
    sorted(
        path.stem[: -len('_gopro')]
        for path in (CONFIGS / 'spd').glob('*_gopro.py')
        if path.with_name(path.name.replace('_gopro', '_sp_gopro')).is_file()
    )
)


class ConfigPair(NamedTuple):
    """The configs of a restorer without and with the prior.

    Attributes:
        name: The restorer, with the kind of the prior if it is another than the paper's:
            ``'mprnet-s1'``, ``'unet_sp-pretrained'``.
        plain: Path of the config without the prior.
        guided: Path of the config with the prior.
    """

    name: str
    plain: Path
    guided: Path


def find_config_pair(config: Union[str, Path]) -> ConfigPair:
    """Find the configs of a restorer with and without the prior.

    Args:
        config: Path of one of them, ``<restorer>_<dataset>.py`` or
            ``<restorer>_sp[-<kind>]_<dataset>.py``; or the name of a restorer in ``configs/spd``,
            whose GoPro configs are meant.

    Raises:
        UserError: One of the two does not exist.
    """
    path = Path(config)
    if path.suffix != '.py':
        path = CONFIGS / 'spd' / f'{config}_gopro.py'
    check_file(str(path), 'config')
    name, _, dataset = path.stem.rpartition('_')
    name, kind = re.fullmatch(r'(.*?)(?:_sp(-[^_]+)?)?', name).groups(default='')
    plain, guided = (path.with_name(f'{name}{sp}_{dataset}.py') for sp in ('', f'_sp{kind}'))
    for each in (plain, guided):
        if not name or not each.is_file():
            raise UserError(
                f'{each}, the counterpart of {path}, does not exist: a benchmark compares '
                '<restorer>_<dataset>.py with <restorer>_sp[-<kind>]_<dataset>.py in one folder'
            )
    return ConfigPair(f'{name}_sp{kind}' if kind else name, plain, guided)


def randomize_zero_weights(generator: nn.Module) -> nn.Module:
    """Give random values to the weights that start at zero, in place.

    Without it, the prior of an untrained network (and a block of NAFNet) would not change any
    output, and a mistake in a fast path would not be noticed.
    """
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in generator.parameters():
            if weight.dim() > 1 and not weight.any():
                weight.copy_(torch.empty(weight.shape).normal_(std=0.1, generator=rng))
    return generator


def make_photo(height: int, width: int) -> np.ndarray:
    """Make an image ``(H, W, 3)``, uint8, with the smoothness of a blurry photo."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0, 255, (height // 16 + 2, width // 16 + 2, 3)).astype(np.float32)
    fine = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.clip(fine + rng.normal(0, 2, fine.shape), 0, 255).round().astype(np.uint8)


def make_parser(description: str, rounds: int) -> argparse.ArgumentParser:
    """Make a parser with the arguments of every benchmark.

    Args:
        description: Text of ``--help``.
        rounds: Default of ``--rounds``.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--rounds',
        type=at_least_one,
        default=rounds,
        help='timed calls of each, in turns (default: %(default)s)',
    )
    parser.add_argument('--device', default='cpu', help='cpu or cuda (default: cpu)')
    parser.add_argument('--json', type=Path, help='write all results to this file')
    return parser


def add_configs(parser: argparse.ArgumentParser) -> None:
    """Add the argument that names the restorers to compare without and with the prior."""
    parser.add_argument(
        'configs',
        nargs='*',
        default=RESTORERS,
        metavar='RESTORER',
        help=f'name, or path of a config (default: all of {", ".join(RESTORERS)})',
    )


def write_record(path: Path, device: torch.device, results: Any, argv: List[str]) -> None:
    """Write the results of a benchmark as JSON, with its command, the time and the machine.

    Args:
        path: The file.
        device: Where it was measured.
        results: Plain values and dataclasses, for the key ``results``.
        argv: The arguments of the command.
    """
    record = dict(
        command=' '.join(['python', sys.argv[0], *argv]),
        date=datetime.now(timezone.utc).isoformat(timespec='seconds'),
        machine=describe_machine(device),
        results=results,
    )
    write_text(path, json.dumps(record, indent=1, default=asdict) + '\n')
