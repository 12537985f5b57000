"""Convert the published weights of a restorer to a state dict for mmspd.

python tools/model_converters/official2mmspd.py RESTORER IN OUT
"""

import argparse
from typing import List

import torch

from mmspd.registry import build_model
from mmspd.utils.cli import output_file, run_main
from mmspd.utils.launch import check_other_file
from mmspd.weights.files import announce_weights
from mmspd.weights.official import fit_official, read_official
from mmspd.weights.published import published_names, recognize, usual_size
from mmspd.weights.sources import find_source
from mmspd.weights.torch_file import save_torch_file


def main(argv: List[str]) -> None:
    """Convert the weights, check them and save them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = published_names()
    parser.add_argument(
        'restorer', choices=names, metavar='RESTORER', help=f'restorer: {", ".join(names)}'
    )
    parser.add_argument(
        'source',
        metavar='IN',
        help='published file, its https address, or a name of mmspd weights list; for dmphn, '
        'a folder with all its files',
    )
    parser.add_argument(
        'out',
        type=output_file,
        metavar='OUT',
        help="file to write; it contains {'state_dict': ...}",
    )
    args = parser.parse_args(argv)
    source = find_source(args.source)
    check_other_file(source, args.out)
    state = read_official(source, 'IN')
    match = recognize(state)
    cfg = match.cfg if match and match.name == args.restorer else usual_size(args.restorer)
    with torch.device('meta'):  # only names and shapes are needed
        restorer = build_model(cfg)
    weights = fit_official(restorer, state, source, 'IN')
    save_torch_file(dict(state_dict=weights), args.out)
    arguments = ', '.join(f'{key}={value!r}' for key, value in cfg.items())
    announce_weights()
    print(f'Wrote {len(weights)} tensors of dict({arguments}) to {args.out}.')


if __name__ == '__main__':
    run_main(main)
