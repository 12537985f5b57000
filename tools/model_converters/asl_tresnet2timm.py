"""Convert a TResNet checkpoint of ASL (or TResNet) into weights for timm's TResNet teacher."""

import argparse
from typing import List

import timm
import torch

from mmspd.errors import UserError
from mmspd.utils.cli import run_main
from mmspd.weights.official import describe_faults, read_official
from mmspd.weights.torch_file import save_torch_file
from mmspd.weights.tresnet import ConvertedTResNet, asl_tresnet_to_timm


def check(converted: ConvertedTResNet, source: str) -> None:
    """Refuse weights that are not exactly those of the model's body."""
    with torch.device('meta'):
        body = timm.create_model(converted.name).state_dict()
    # InPlaceABN does not count batches, and evaluation does not use the count
    expected = {k: v for k, v in body.items() if k.startswith('body.') and 'num_batches' not in k}
    faults = describe_faults(converted.state, expected)
    if faults:
        raise UserError(
            f'{source} does not fit {converted.name}: {"; ".join(faults)}; download it again.'
        )


def main(argv: List[str]) -> None:
    """Convert, check and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', metavar='IN', help='checkpoint file, or its address')
    parser.add_argument('out', metavar='OUT', help='file to write, for MMSPD_TEACHER')
    args = parser.parse_args(argv)
    converted = asl_tresnet_to_timm(read_official(args.source, 'IN'))
    check(converted, args.source)
    save_torch_file(converted.state, args.out)
    print(f'{len(converted.state)} tensors of {converted.name} written to {args.out}')


if __name__ == '__main__':
    run_main(main)
