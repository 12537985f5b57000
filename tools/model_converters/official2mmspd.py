"""Convert the weights that a restorer's authors published into a plain state dict of mmspd."""

import argparse
from typing import List

from mmspd.registry import build_model
from mmspd.utils.cli import run_main
from mmspd.weights.official import fit_official, read_official
from mmspd.weights.published import NAMES, recognize, usual_size
from mmspd.weights.torch_file import save_torch_file


def main(argv: List[str]) -> None:
    """Convert, check and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('restorer', choices=NAMES, metavar='RESTORER', help=', '.join(NAMES))
    parser.add_argument(
        'source', metavar='IN', help='the published file, or its address; for dmphn the folder'
    )
    parser.add_argument('out', metavar='OUT', help="file to write, {'state_dict': ...}")
    args = parser.parse_args(argv)
    state = read_official(args.source, 'IN')
    match = recognize(state)
    cfg = match.cfg if match and match.name == args.restorer else usual_size(args.restorer)
    weights = fit_official(build_model(cfg), state, args.source, 'IN')
    save_torch_file(dict(state_dict=weights), args.out)
    arguments = ', '.join(f'{key}={value!r}' for key, value in cfg.items())
    print(f'{len(weights)} tensors of dict({arguments}) written to {args.out}')


if __name__ == '__main__':
    run_main(main)
