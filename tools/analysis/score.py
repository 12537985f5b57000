"""Measure finished images of any method, without a network.

python tools/analysis/score.py RESTORED SHARP --blurry BLURRY --protocol gopro --out results/other
"""

import argparse
import hashlib
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
import torch
from mmengine.evaluator import Evaluator
from tqdm import tqdm

from mmspd.datasets.image_io import list_names, read_rgb, read_size
from mmspd.datasets.pair_names import (
    ANY_NAME,
    ImagePlace,
    check_template,
    sort_images,
    unpaired_images,
)
from mmspd.errors import UserError
from mmspd.evaluation.provenance import (
    FOLDERS,
    describe_dataset,
    make_image_provenance,
    rounding_of,
)
from mmspd.evaluation.results import RESULT_NAME, Result
from mmspd.evaluation.summary import infos_of, make_result, save_result
from mmspd.registry import DATASETS, METRICS
from mmspd.utils.bases import find_base, read_protocols
from mmspd.utils.cli import output_folder, run_main, usage_errors
from mmspd.utils.launch import read_config
from mmspd.utils.tables import text_table
from mmspd.weights.files import loaded_weights

#: For each kind of image, the key of its path in the information about an image.
PATHS = dict(restored='restored', sharp='gt_path', blurry='img_path')
DEFAULT_PROTOCOL = 'gopro'


class ImageSet(NamedTuple):
    """The images to measure.

    Attributes:
        infos: For each image, its ``key`` and the paths of its files; see :data:`PATHS`.
        description: Description of the sharp and blurry images.
        kinds: The kinds of the images: ``'restored'``, ``'sharp'``, ``'blurry'``.
    """

    infos: List[Dict[str, Any]]
    description: Dict[str, Any]
    kinds: Sequence[str]


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Measure finished images of any method, without a network. The result has the '
        'format of mmspd test, so mmspd compare compares both.',
        epilog='Images belong together if their paths without suffix are equal. For other names, '
        "give templates: {} stands for the common part. '{}_sharp' fits IMG_0_sharp.png, and "
        "'sharp/{}' fits scene/sharp/0.png.",
    )
    parser.add_argument('restored', type=Path, help='folder of the finished images')
    parser.add_argument(
        'sharp',
        type=Path,
        nargs='?',
        help='folder of the sharp images; omit it for metrics without a reference',
    )
    parser.add_argument(
        '--blurry',
        type=Path,
        metavar='FOLDER',
        help='folder of the blurry images, for gains and results by severity',
    )
    parser.add_argument(
        '--test-on',
        metavar='DATASET',
        help='data set with the sharp and blurry images, as in mmspd test; replaces SHARP and '
        '--blurry',
    )
    parser.add_argument(
        '--protocol',
        nargs='+',
        metavar='NAME',
        help='metrics to measure, as in mmspd test (default: those of the data set, or '
        f'{DEFAULT_PROTOCOL})',
    )
    parser.add_argument(
        '--out', type=output_folder, required=True, metavar='FOLDER', help='folder for the result'
    )
    parser.add_argument('--name', help='name of the method (default: name of the folder)')
    for kind in PATHS:
        parser.add_argument(
            f'--{kind}-template',
            default=ANY_NAME,
            metavar='NAME',
            help=f'names of the {kind} images (default: {ANY_NAME})',
        )
    return parser.parse_args(argv)


def check_arguments(args: argparse.Namespace) -> None:
    """Check the arguments before the images are read.

    Args:
        args: The command line.

    Raises:
        UserError: An argument is invalid.
    """
    if args.test_on and (args.sharp or args.blurry):
        raise UserError(f'--test-on {args.test_on} replaces SHARP and --blurry; give only one way.')
    if (args.out / RESULT_NAME).exists():
        raise UserError(f"'{args.out}' already contains a {RESULT_NAME}; choose another --out.")
    for kind in PATHS:
        check_template(f'--{kind}-template', getattr(args, f'{kind}_template'))
        folder = getattr(args, kind)
        if folder is None:
            continue
        if not folder.is_dir():
            raise UserError(f"The folder '{folder}' of {kind} images does not exist; correct it.")
        if folder.resolve() in (args.out.resolve(), *args.out.resolve().parents):
            raise UserError(f"--out '{args.out}' is in a folder of images; choose another folder.")


def find_images(args: argparse.Namespace) -> ImageSet:
    """Find the images in the folders of the command line and in the data set.

    Args:
        args: The command line.

    Returns:
        The images.

    Raises:
        UserError: A folder has no image, or an image has no partner.
    """
    places = {
        kind: ImagePlace(getattr(args, kind), getattr(args, f'{kind}_template'))
        for kind in PATHS
        if getattr(args, kind)
    }
    found, unused = sort_images(list(places.values()))
    for (kind, place), images in zip(places.items(), found):
        if not images:
            raise UserError(
                f"'{place.folder}' has no image that fits '{place.template}' (it holds "
                f'{list_names(place.folder)}); correct the folder or --{kind}-template.'
            )
    if unused:
        print(f"{len(unused)} images fit no template and are not used (first '{unused[0]}').")
    if args.test_on:
        return join_dataset(args.test_on, found[0])
    check_partners(found)
    infos = [
        dict(key=key, **{PATHS[kind]: str(images[key]) for kind, images in zip(places, found)})
        for key in found[0]
    ]
    folders = {kind: str(places[kind].folder.resolve()) for kind in places if kind != 'restored'}
    return ImageSet(infos, dict(type=FOLDERS, images=len(infos), **folders), list(places))


def join_dataset(name: str, restored: Dict[str, Path]) -> ImageSet:
    """Join finished images with a data set.

    Args:
        name: Name or path of a data set file.
        restored: The finished images by key.

    Returns:
        The images.

    Raises:
        UserError: The data set cannot be read, or an image has no partner.
    """
    config = read_config(str(find_base('datasets', name)), {}).test_dataloader.dataset
    dataset = DATASETS.build(dict(config, pipeline=[]))
    infos = infos_of(dataset)
    check_partners([restored, {info['key']: Path(info['img_path']) for info in infos}])
    joined = [dict(info, restored=str(restored[info['key']])) for info in infos]
    for info in joined:
        if info['img_path'] == info.get('gt_path'):  # a synthesized blurry image has no file
            del info['img_path']
    kinds = [kind for kind, path in PATHS.items() if path in joined[0]]
    return ImageSet(joined, describe_dataset(dataset), kinds)


def check_partners(found: Sequence[Dict[str, Path]]) -> None:
    """Check that every image has a partner of each kind.

    Args:
        found: For each kind, the images by key.

    Raises:
        UserError: An image has no partner.
    """
    unpaired = unpaired_images(found)
    if unpaired:
        names = ', '.join(map(str, unpaired[:3])) + (', ...' if len(unpaired) > 3 else '')
        raise UserError(
            f'{len(unpaired)} images have no partner of the same name ({names}); add the missing '
            'images, correct the folders, or give name templates (see --help).'
        )


def choose_metrics(
    configs: Sequence[Dict[str, Any]], kinds: Sequence[str]
) -> Tuple[List[Dict[str, Any]], List[Any]]:
    """Choose the metrics that can be measured, and build them.

    Without blurry images, metrics of them are left out, and a message says so.

    Args:
        configs: Configs of the metrics of the protocol.
        kinds: The kinds of the images.

    Returns:
        The configs of the chosen metrics, and the metrics.

    Raises:
        UserError: A metric needs sharp images, no metric is left, or the metrics convert the images
            to 8 bits in different ways.
    """
    chosen, metrics, left_out = [], [], []
    for config in configs:
        name = config['type'].rpartition('.')[2]
        if 'blurry' not in kinds and config.get('report_input'):
            config = dict(config, report_input=False)
            left_out.append(f'{name} of the blurry images')
        metric = METRICS.build(config)
        needs = getattr(metric, 'needs', ())
        if 'gt_img' in needs and 'sharp' not in kinds:
            raise UserError(
                f'{name} needs sharp images; give their folder SHARP, or --protocol no-reference.'
            )
        if 'input' in needs and 'blurry' not in kinds:
            left_out.append(name)
            continue
        chosen.append(dict(config))
        metrics.append(metric)
    if left_out:
        print(f'Without --blurry, these are not measured: {", ".join(left_out)}.')
    if not metrics:
        raise UserError(
            'All metrics of the protocol need blurry images; give their folder --blurry.'
        )
    rounding_of(metrics)
    return chosen, metrics


def check_sizes(infos: Sequence[Dict[str, Any]]) -> None:
    """Check, before the first measurement, that the images of a pair have equal sizes.

    Args:
        infos: Information about each image.

    Raises:
        UserError: A file is unreadable, or the sizes differ.
    """
    wrong = []
    for info in infos:
        files = [info['restored']]
        if not info.get('place'):  # a pack may be without its files
            files += [info[path] for path in ('gt_path', 'img_path') if path in info]
        sizes = {file: read_size(file) for file in files}
        if len(set(sizes.values())) > 1:
            texts = (f"'{file}' is {width}x{height}" for file, (height, width) in sizes.items())
            wrong.append(' and '.join(texts))
    if wrong:
        raise UserError(
            f'{len(wrong)} images differ in size from their partners ({wrong[0]} pixels); give the '
            'images of a pair the same size.'
        )


def read_sample(info: Dict[str, Any]) -> Dict[str, Any]:
    """Read the images of a pair.

    Args:
        info: Information about the pair.

    Returns:
        A data sample for metrics.

    Raises:
        UserError: An image cannot be read.
    """
    sample = dict(key=info['key'], severity=info.get('severity'))
    sample['output'] = dict(pred_img=to_tensor(read_rgb(info['restored'])))
    packed = dict(zip(('img_path', 'gt_path'), info['place'].images())) if info.get('place') else {}
    for name, path in (('gt_img', 'gt_path'), ('input', 'img_path')):
        if path in info:
            sample[name] = to_tensor(packed[path] if packed else read_rgb(info[path]))
    return sample


def digest_of(infos: Sequence[Dict[str, Any]]) -> str:
    """Compute the SHA-256 of the keys and files of all finished images, in hexadecimal digits."""
    digest = hashlib.sha256()
    for info in infos:
        file = hashlib.sha256(Path(info['restored']).read_bytes()).hexdigest()
        digest.update(f'{info["key"]}\0{file}\n'.encode())
    return digest.hexdigest()


def to_tensor(image: np.ndarray) -> torch.Tensor:
    """Convert an image to the format of metrics.

    Args:
        image: RGB, uint8, shape (H, W, 3).

    Returns:
        BGR, uint8, shape (3, H, W).
    """
    return torch.from_numpy(np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1)))


def measure(infos: Sequence[Dict[str, Any]], metrics: Sequence[Any]) -> Dict[str, float]:
    """Measure all images.

    Args:
        infos: Information about each image.
        metrics: The metrics.

    Returns:
        A dict from the names of the metrics to means.

    Raises:
        UserError: An image cannot be read or measured.
    """
    evaluator = Evaluator(list(metrics))
    for info in tqdm(infos, unit='image'):
        sample = read_sample(info)
        try:
            evaluator.process([sample])
        except UserError as error:
            raise UserError(f"Cannot measure '{info['restored']}': {error}") from error
    return evaluator.evaluate(len(infos))


def means_text(result: Result) -> str:
    """Format the means of a result as a table."""
    rows = []
    for name, value in result.metrics.items():
        info = result.metric_info.get(name)
        rows.append((name, info.text(value) if info else str(value)))
    return text_table(('metric', 'mean'), rows)


def main(argv: List[str]) -> None:
    """Measure the images, and write and print the result.

    Args:
        argv: The command-line arguments.

    Raises:
        UserError: An argument or an image is invalid.
    """
    args = parse_args(argv)
    with usage_errors():
        check_arguments(args)
    if args.test_on and args.protocol is None:
        config = read_config(str(find_base('datasets', args.test_on)), {})
        protocol, configs = config.protocol, config.test_evaluator.metrics
    else:
        protocol, configs = read_protocols(args.protocol or [DEFAULT_PROTOCOL])
    images = find_images(args)
    with usage_errors():
        chosen, metrics = choose_metrics(configs, images.kinds)
    check_sizes(images.infos)
    read_before = len(loaded_weights())
    means = measure(images.infos, metrics)
    folder = args.restored.resolve()
    name = args.name or folder.name
    provenance = make_image_provenance(
        name,
        dict(path=str(folder), sha256=digest_of(images.infos)),
        images.description,
        protocol,
        dict(metrics=chosen),
        metrics,
        loaded_weights(read_before),
    )
    result = make_result(metrics, means, images.infos, provenance)
    print('\n\n'.join([means_text(result), *save_result(result, args.out, name)]))
    print(f'The result is in {args.out / RESULT_NAME}.')


if __name__ == '__main__':
    run_main(main)
