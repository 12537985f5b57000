"""Download a published data set, or unpack its archive, into the folder that the recipes read.

GoPro is downloaded from the account of its author. The authors of HIDE and RealBlur offer no
automatic download; for these, the tool prints the steps.
"""

import argparse
import shlex
from pathlib import Path
from typing import List

from mmspd.datasets.sources import SOURCES, Source
from mmspd.utils.cli import output_folder, run_main
from mmspd.utils.launch import check_file
from mmspd.utils.unpack import check_empty, unpack
from mmspd.weights.addresses import parse_address
from mmspd.weights.download import fetch


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('name', choices=SOURCES, help='data set')
    parser.add_argument(
        '--archive', type=Path, metavar='FILE', help='archive that you have downloaded yourself'
    )
    parser.add_argument(
        '--out',
        type=output_folder,
        metavar='FOLDER',
        help='new folder of the data set (default: the environment variable of the data set, or '
        'the folder that the recipes read)',
    )
    return parser.parse_args(argv)


def steps(name: str, source: Source, folder: Path) -> str:
    """Describe how a person downloads a data set.

    Args:
        name: Name of the data set on the command line.
        source: The data set.
        folder: The new folder.

    Returns:
        Numbered steps.
    """
    out = '' if folder == source.folder else f' --out {shlex.quote(str(folder))}'
    lines = [
        f'The authors of {source.title} offer no automatic download. Do these steps:',
        f'1. Read the conditions of the authors: {source.page} (license: {source.license}).',
        f'2. Download {source.archive}: {source.where}.',
        '3. Unpack the archive:',
        f'       mmspd data download {name} --archive {source.archive}{out}',
        f'   This gives the layout that the recipes read, in {folder}:',
        *(f'       {line}' for line in source.layout),
        *_after(4, source, folder),
    ]
    return '\n'.join(lines)


def _after(number: int, source: Source, folder: Path) -> List[str]:
    """Return the steps after the data set is unpacked."""
    place = shlex.quote(str(folder))
    lines = [f'{number}. Check the data:', f'       mmspd check {place} --workers 8']
    if folder != source.folder:
        lines += [f'{number + 1}. Name the folder:', f'       export {source.variable}={place}']
    return lines


def main(argv: List[str]) -> None:
    """Download and unpack a data set, or print the steps."""
    args = parse_args(argv)
    source = SOURCES[args.name]
    folder = args.out or source.folder
    archive = args.archive
    if archive is None and source.address is None:
        print(steps(args.name, source, folder))
        return
    check_empty(folder)
    if archive is not None:
        check_file(str(archive), 'archive')
    else:
        print(f'{source.title} has the license {source.license}; see {source.page}.', flush=True)
        cure = f'run mmspd data download {args.name} --archive {source.archive}'
        archive = fetch(parse_address(source.address, args.name), args.name, cure)[0]
    print(f"Unpacking '{archive}' ...", flush=True)
    count = unpack(archive, folder, source.contains)
    if args.archive is None:
        archive.unlink()
    print(f"{count} files of {source.title} are in '{folder}'. Next:")
    print('\n'.join(_after(1, source, folder)))


if __name__ == '__main__':
    run_main(main)
