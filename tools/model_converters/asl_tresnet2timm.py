"""Convert a TResNet checkpoint of the ASL or TResNet project to weights of timm's TResNet.

python tools/model_converters/asl_tresnet2timm.py IN OUT
"""

import argparse
from typing import List

import timm
import torch

from mmspd.errors import UserError
from mmspd.utils.cli import output_file, run_main
from mmspd.utils.launch import check_other_file
from mmspd.weights.files import announce_weights
from mmspd.weights.fit import describe_faults
from mmspd.weights.official import read_official
from mmspd.weights.sources import find_source
from mmspd.weights.torch_file import save_torch_file
from mmspd.weights.tresnet import ConvertedTResNet, asl_tresnet_to_timm


def check(converted: ConvertedTResNet, source: str) -> None:
    """Check that the weights have exactly the tensors of the body of the timm model.

    Args:
        converted: Converted weights and the name of the timm model.
        source: Source of the weights, for the message.

    Raises:
        UserError: A tensor is missing, unexpected or of another shape.
    """
    with torch.device('meta'):
        body = timm.create_model(converted.name).state_dict()
    # num_batches_tracked is ignored: InPlaceABN does not have it, and evaluation does not need it
    expected = {k: v for k, v in body.items() if k.startswith('body.') and 'num_batches' not in k}
    faults = describe_faults(converted.state, expected)
    if faults:
        raise UserError(
            f'The tensors in {source} do not fit {converted.name} ({", ".join(faults)}); download '
            'the file again.'
        )


def main(argv: List[str]) -> None:
    """Convert the weights, check them and save them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('source', metavar='IN', help='checkpoint file or its https address')
    parser.add_argument(
        'out',
        type=output_file,
        metavar='OUT',
        help='file to write; to use it as the teacher, set MMSPD_TEACHER to its path',
    )
    args = parser.parse_args(argv)
    find_source(args.source)
    check_other_file(args.source, args.out)
    converted = asl_tresnet_to_timm(read_official(args.source, 'IN'))
    check(converted, args.source)
    save_torch_file(converted.state, args.out)
    announce_weights()
    print(f'Wrote {len(converted.state)} tensors of {converted.name} to {args.out}.')


if __name__ == '__main__':
    run_main(main)
