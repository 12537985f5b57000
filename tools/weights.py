"""List, download and share weights.

python tools/weights.py list
python tools/weights.py get mimounetplus_gopro restormer_gopro
python tools/weights.py push CONFIG CHECKPOINT USER/NAME --result result.json
python tools/weights.py pull USER/NAME
"""

import argparse
import sys
import tempfile
from typing import List

from mmspd.errors import UserError
from mmspd.utils.cli import output_folder, run_main
from mmspd.utils.tables import text_table
from mmspd.weights.by_name import cached_path, find_named, obtain
from mmspd.weights.catalog import CATALOG, describe_weights


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='List and download the weights that the authors of restorers published, and '
        'share your own weights on Hugging Face. MMSPD_HOME names the folder for downloads.'
    )
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    commands.add_parser('list', help='list the published weights')
    get = commands.add_parser('get', help='download published weights, and print their path')
    get.add_argument('names', nargs='+', metavar='NAME', help='name in the list')
    push = commands.add_parser('push', help='share a checkpoint on Hugging Face')
    push.add_argument('config', help='config file, or its name, e.g. mimounet_sp_gopro')
    push.add_argument('checkpoint', help='checkpoint of mmspd train')
    push.add_argument('repository', metavar='REPO', help='repository, e.g. user/mimounet_sp')
    push.add_argument(
        '--result',
        nargs='+',
        default=[],
        metavar='FILE',
        help='result.json of a test of this checkpoint, for the model card',
    )
    push.add_argument('--license', help='license of the weights, e.g. apache-2.0')
    push.add_argument(
        '--private', action='store_true', help='only the owner can see the repository'
    )
    push.add_argument(
        '--out-dir',
        type=output_folder,
        metavar='DIR',
        help='only write the files to DIR, without an upload',
    )
    pull = commands.add_parser('pull', help='get shared weights from Hugging Face')
    pull.add_argument('repository', metavar='REPO', help='repository, e.g. user/mimounet_sp')
    return parser.parse_args(argv)


def print_list() -> None:
    """Print the published weights and their addresses."""
    rows = [describe_weights(weights) for weights in CATALOG]
    for weights, row in zip(CATALOG, rows):
        if cached_path(weights):
            row['download'] = 'in the cache'
    print(text_table(list(rows[0]), [list(row.values()) for row in rows]))
    print('\nPSNR in dB; SSIM is 3-D (as MATLAB) or 2-D (per channel); ? is unknown. Sources:')
    for weights in CATALOG:
        print(f'{weights.name}: {weights.page}{weights.note and f" ({weights.note})"}')


def get(names: List[str]) -> int:
    """Download published weights.

    Args:
        names: Their names.

    Returns:
        The exit code, 1 if weights could not be downloaded, else 0.
    """
    code = 0
    chosen = [find_named(name) for name in names]
    for weights in chosen:
        try:
            print(obtain(weights, weights.name))
        except UserError as error:
            print(f'error: {error}', file=sys.stderr, flush=True)
            code = 1
    return code


def push(args: argparse.Namespace) -> None:
    """Write the files of shared weights, and upload them unless a folder is given."""
    # imported here, so that the list is fast
    from mmspd.apis.share import push, write_shared
    from mmspd.utils.launch import read_config
    from mmspd.weights.sources import find_source

    config = read_config(args.config, {})
    checkpoint = find_source(args.checkpoint, args.config)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.out_dir or temporary
        write_shared(config, checkpoint, folder, args.repository, args.result, args.license)
        where = folder if args.out_dir else push(folder, args.repository, args.private)
    print(f'Wrote {where}.')


def main(argv: List[str]) -> int:
    """Run a command.

    Args:
        argv: Command-line arguments.

    Returns:
        The exit code.
    """
    args = parse_args(argv)
    if args.command == 'list':
        print_list()
    elif args.command == 'get':
        return get(args.names)
    elif args.command == 'push':
        push(args)
    else:
        from mmspd.apis.share import pull  # slow to import

        print(pull(args.repository))
    return 0


if __name__ == '__main__':
    run_main(main)
