"""What the benchmarks share: the twins of plain and guided configs, a photo, and records."""

import argparse
import json
import re
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence, Union

import cv2
import numpy as np
import torch
from torch import nn

from mmspd.errors import UserError
from mmspd.utils.cli import at_least_one
from mmspd.utils.device import describe_machine
from mmspd.utils.files import write_text
from mmspd.utils.launch import check_file

__all__ = [
    'ConfigPair',
    'add_arguments',
    'find_config_pair',
    'make_photo',
    'randomize_zero_weights',
    'write_record',
]


class ConfigPair(NamedTuple):
    """The configs of a restorer without and with the prior.

    Attributes:
        name: Of both, such as ``'mprnet-s1'``, or ``'unet_sp-pretrained'``.
        plain: Path of the config without the prior.
        guided: Path of its ``_sp`` twin.
    """

    name: str
    plain: Path
    guided: Path


def find_config_pair(config: Union[str, Path], folder: Path) -> ConfigPair:
    """Find the configs of a restorer with and without the prior, by the name of either.

    Args:
        config: Path of a config ``<restorer>_<dataset>.py`` or ``<restorer>_sp_<dataset>.py`` (or
            ``_sp-<kind>_``, another kind of prior, which the twins' name tells then); or the name
            of a restorer, whose GoPro config in ``folder`` is meant.
        folder: The repository's ``configs/spd``.

    Raises:
        UserError: One of the two does not exist.
    """
    path = Path(config)
    if path.suffix != '.py':
        path = folder / f'{config}_gopro.py'
    check_file(str(path), 'config')
    name, _, dataset = path.stem.rpartition('_')
    name, kind = re.fullmatch(r'(.*?)(?:_sp(-[^_]+)?)?', name).groups(default='')
    plain, guided = (path.with_name(f'{name}{sp}_{dataset}.py') for sp in ('', f'_sp{kind}'))
    for twin in (plain, guided):
        if not name or not twin.is_file():
            raise UserError(
                f'{twin}, the twin of {path}, does not exist: a benchmark compares '
                '<restorer>_<dataset>.py with <restorer>_sp[-<kind>]_<dataset>.py in one folder'
            )
    return ConfigPair(f'{name}_sp{kind}' if kind else name, plain, guided)


def randomize_zero_weights(generator: nn.Module, seed: int = 0) -> nn.Module:
    """Give random values to the weights that start at zero, in place.

    Without it, the prior of an untrained network (and a block of NAFNet) would not change any
    output, and a fast path that got it wrong would not be noticed.
    """
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in generator.parameters():
            if weight.dim() > 1 and not weight.any():
                weight.copy_(torch.empty(weight.shape).normal_(std=0.1, generator=rng))
    return generator


def make_photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Make an image ``(H, W, 3)``, uint8, with the smoothness of a blurry photo."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (height // 16 + 2, width // 16 + 2, 3)).astype(np.float32)
    fine = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.clip(fine + rng.normal(0, 2, fine.shape), 0, 255).round().astype(np.uint8)


def add_arguments(parser: argparse.ArgumentParser, rounds: int) -> None:
    """Add the arguments that benchmarks of networks have in common."""
    parser.add_argument(
        '--rounds',
        type=at_least_one,
        default=rounds,
        help=f'timings of each, in turns (default: {rounds})',
    )
    parser.add_argument('--device', default='cpu', help='cpu or cuda (default: cpu)')
    parser.add_argument('--json', type=Path, help='write all figures to this file')


def write_record(
    path: Union[str, Path],
    device: torch.device,
    found: Union[Dict[str, Any], Sequence[Dict[str, Any]]],
    argv: List[str],
) -> None:
    """Write what a benchmark found as JSON, with the command, the time and the machine.

    Args:
        path: The file.
        device: Where it was measured.
        found: The figures, for the key ``found``.
        argv: The arguments of the command.
    """
    record = dict(
        command=' '.join(['python', sys.argv[0], *argv]),
        date=datetime.now(timezone.utc).isoformat(timespec='seconds'),
        machine=describe_machine(device),
        found=found,
    )
    write_text(path, json.dumps(record, indent=1) + '\n')
