"""Export a trained network to an ONNX file or a PyTorch program, both of which run without mmspd.

python tools/deployment/export.py configs/spd/mimounet_sp_gopro.py CHECKPOINT mimounet_sp.onnx
"""

import argparse
import json
from pathlib import Path
from typing import Dict, List

from mmspd.utils.cli import at_least_one, output_file, run_main, size_argument
from mmspd.utils.launch import add_cfg_options, read_config
from mmspd.weights.sources import find_source


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config file, or its name')
    parser.add_argument(
        'weights',
        help='checkpoint of mmspd train, or weights that the authors published: a file, a name '
        'of mmspd weights list, or official',
    )
    parser.add_argument('out', type=output_file, help='file to write, .onnx or .pt2')
    parser.add_argument(
        '--opset', type=int, help='ONNX opset version, 18 to 24 (default: the choice of PyTorch)'
    )
    parser.add_argument(
        '--sizes',
        type=size_argument,
        nargs='+',
        metavar='HxW',
        help='image sizes for the comparison of the export with the network (default: 61x75 98x145 '
        '190x243)',
    )
    parser.add_argument(
        '--pad-to',
        type=at_least_one,
        default=1,
        metavar='N',
        help='pad images by reflection to multiples of N; Restormer needs 8 (default: 1, no '
        'padding)',
    )
    parser.add_argument(
        '--time',
        type=size_argument,
        metavar='HxW',
        help='also measure the time for an image of this size on the CPU',
    )
    add_cfg_options(parser)
    return parser.parse_args(argv)


def describe(
    args: argparse.Namespace, generator: Dict, weights: List[Dict[str, str]]
) -> Dict[str, str]:
    """Return the metadata of the file: its origin and the format of its images.

    Args:
        args: Command-line arguments.
        generator: Config of the generator.
        weights: The weights files that were read.

    Returns:
        A dict from the name of each entry to its text.
    """
    from mmspd.version import __version__

    about = {
        'mmspd': __version__,
        'config': args.config,
        'generator': json.dumps(generator, default=str),
        'weights': args.weights,
        'values': 'RGB, 0..1, float32, (N, 3, H, W); clip the output to 0..1',
    }
    # the weights of DMPHN are several files
    about['weights_sha256'] = ' '.join(each['sha256'] for each in weights)
    return about


def main(argv: List[str]) -> None:
    """Export the network and print the difference between the export and the network.

    Args:
        argv: Command-line arguments.
    """
    args = parse_args(argv)
    args.weights = find_source(args.weights, args.config)
    # imported here, so that --help is fast
    import torch

    from mmspd.apis.export import SIZES, export_network
    from mmspd.apis.model import init_model
    from mmspd.weights.files import loaded_weights

    config = read_config(args.config, args.cfg_options or {})
    read_before = len(loaded_weights())
    model = init_model(config, args.weights, distillation=False)
    exported = export_network(
        model.generator,
        args.out,
        describe(args, config.model.generator, loaded_weights(read_before)),
        sizes=args.sizes or SIZES,
        opset=args.opset,
        pad_to=args.pad_to,
        time_size=args.time,
    )
    for (height, width), difference in exported.differences.items():
        print(f'{height}x{width}: the export differs from the network by at most {difference:.1e}.')
    if exported.seconds:
        eager, file = exported.seconds
        print(
            f'{args.time[0]}x{args.time[1]} on {torch.get_num_threads()} CPU threads: the network '
            f'takes {eager:.2f} s, the export {file:.2f} s.'
        )
    print(f'Wrote {args.out} ({Path(args.out).stat().st_size / 2**20:.1f} MiB).')


if __name__ == '__main__':
    run_main(main)
