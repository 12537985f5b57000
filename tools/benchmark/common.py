"""Common parts of the benchmarks: arguments, pairs of configs, a test photo and JSON records."""

import argparse
import json
import os
import re
import sys
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, List, NamedTuple, Union

import cv2
import mmengine
import numpy as np
import torch
from torch import nn

from mmspd.errors import UsageError
from mmspd.utils.cli import at_least_one, output_file
from mmspd.utils.device import describe_machine
from mmspd.utils.files import write_text
from mmspd.utils.launch import check_file
from mmspd.version import __version__

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs'
#: Names of the restorers that have two GoPro configs, with and without the prior.
RESTORERS = tuple(
    sorted(
        path.stem[: -len('_gopro')]
        for path in (CONFIGS / 'spd').glob('*_gopro.py')
        if path.with_name(path.name.replace('_gopro', '_sp_gopro')).is_file()
    )
)


class ConfigPair(NamedTuple):
    """The configs of a restorer with and without the prior.

    Attributes:
        name: Name of the restorer, such as ``'mprnet-s1'``. It includes the kind of the prior if
            the recipe names one: ``'unet_sp-pretrained'``.
        plain: Path of the config without the prior.
        guided: Path of the config with the prior.
    """

    name: str
    plain: Path
    guided: Path


def find_config_pair(config: Union[str, Path]) -> ConfigPair:
    """Find the configs of a restorer with and without the prior.

    Args:
        config: Path of either config, ``<restorer>_<dataset>.py`` or
            ``<restorer>_sp[-<kind>]_<dataset>.py``. A name without ``.py`` means the GoPro configs
            of that restorer in ``configs/spd``.

    Raises:
        UsageError: One of the two configs does not exist.
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
            raise UsageError(
                f'{each}, the counterpart of {path}, does not exist; put <restorer>_<dataset>.py '
                'and <restorer>_sp[-<kind>]_<dataset>.py into one folder.'
            )
    return ConfigPair(f'{name}_sp{kind}' if kind else name, plain, guided)


def randomize_zero_weights(generator: nn.Module) -> nn.Module:
    """Fill the weights that are zero with random values, in place.

    In an untrained network, the prior and the blocks of NAFNet have no effect, because their last
    layers start at zero. With random values, an error in these parts changes the output.

    Args:
        generator: Network to change.

    Returns:
        The same network.
    """
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in generator.parameters():
            if weight.dim() > 1 and not weight.any():
                weight.copy_(torch.empty(weight.shape).normal_(std=0.1, generator=rng))
    return generator


def make_photo(height: int, width: int) -> np.ndarray:
    """Make an image that is as smooth as a blurry photo.

    Args:
        height: Height in pixels.
        width: Width in pixels.

    Returns:
        Image ``(H, W, 3)``, uint8. Every call returns the same image.
    """
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0, 255, (height // 16 + 2, width // 16 + 2, 3)).astype(np.float32)
    fine = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.clip(fine + rng.normal(0, 2, fine.shape), 0, 255).round().astype(np.uint8)


def make_parser(description: str, rounds: int) -> argparse.ArgumentParser:
    """Make a parser with the arguments that all benchmarks share.

    Args:
        description: Description for ``--help``.
        rounds: Default of ``--rounds``.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--rounds',
        type=at_least_one,
        default=rounds,
        help='timed calls of each variant; the variants take turns (default: %(default)s)',
    )
    parser.add_argument('--device', default='cpu', help='cpu or cuda (default: cpu)')
    parser.add_argument('--json', type=output_file, help='write all results to this JSON file')
    return parser


def add_configs(parser: argparse.ArgumentParser) -> None:
    """Add the argument for the restorers that are compared with and without the prior.

    Args:
        parser: Parser to extend.
    """
    parser.add_argument(
        'configs',
        nargs='*',
        default=RESTORERS,
        metavar='RESTORER',
        help=f'name of a restorer, or path of a config (default: all of {", ".join(RESTORERS)})',
    )


def command_line(program: str, argv: List[str]) -> str:
    """Return a command as text.

    Args:
        program: First word of the command: the path of a tool, or ``'mmspd benchmark ...'``. The
            path of a tool is shortened to its part below the repository.
        argv: Arguments of the command.
    """
    if program.startswith('mmspd '):
        return ' '.join([program, *argv])
    path = Path(program).resolve()
    name = path.relative_to(ROOT).as_posix() if ROOT in path.parents else program
    return ' '.join(['python', name, *argv])


def write_record(path: Path, device: torch.device, results: Any, argv: List[str]) -> None:
    """Write the results of a benchmark as JSON, with the command, the date and the machine.

    The load is the average number of running processes in the last minute, including this one.

    Args:
        path: Output file.
        device: Device that was measured.
        results: Plain values and dataclasses, for the key ``results``.
        argv: Arguments of the command.
    """
    record = dict(
        command=command_line(sys.argv[0], argv),
        date=datetime.now(timezone.utc).isoformat(timespec='seconds'),
        machine=describe_machine(device),
        versions=dict(mmspd=__version__, mmengine=mmengine.__version__, numpy=np.__version__),
        load=round(os.getloadavg()[0], 1),
        results=results,
    )
    write_text(path, json.dumps(record, indent=1, default=asdict) + '\n')
