"""Generate the table of recipes in configs/spd/README.md and configs/spd/metafile.yml.

python tools/analysis/recipes.py            # run this after you change a config
python tools/analysis/recipes.py --check    # only check that the files are up to date
"""

import argparse
import ast
import itertools
import logging
import re
from pathlib import Path
from typing import Any, Dict, List

import torch
import yaml
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmspd.apis.complexity import Cost, cost_of
from mmspd.errors import UserError
from mmspd.registry import build_model
from mmspd.utils.cli import run_main

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / 'configs' / 'spd'
BEGIN, END = '<!-- recipes: begin -->\n', '<!-- recipes: end -->\n'
HEADER = ('config', 'restorer', 'recipe', 'training', 'parameters', 'GMAC at 256x256')
TRAINING_DATA = {'mmspd.GoProDataset': 'GoPro', 'mmspd.RealBlurDataset': 'RealBlur-J'}
COLLECTION = dict(
    Name='Semantic Prior',
    Paper=dict(
        Title='Take a Prior from Other Tasks for Severe Blur Removal',
        URL='https://arxiv.org/abs/2302.06898',
    ),
    README='configs/spd/README.md',
    Task=['deblurring'],
    Year=2023,
    Metadata=dict(Architecture=['SPL', 'SPE']),
)


def describe(path: Path) -> str:
    """Return the description of a config.

    Args:
        path: The config file.

    Returns:
        The first sentence of the comment at the top of the file. If there is no comment, the names
        of the base configs.
    """
    text = path.read_text()
    # stop at indented comment lines, because they contain commands
    comment = itertools.takewhile(re.compile(r'# \S').match, text.splitlines())
    words = ' '.join(line[2:] for line in comment)
    if words:
        return re.split(r'\.\s+(?=[A-Z])', words)[0].rstrip('.:')
    assigned = [node.value for node in ast.parse(text).body if isinstance(node, ast.Assign)]
    bases = ast.literal_eval(assigned[0])  # _base_ is the first assignment of each config
    bases = [bases] if isinstance(bases, str) else bases
    return ' + '.join(f'`{Path(base).stem}`' for base in bases)


def describe_training(config: Config) -> str:
    """Return the optimizer, learning rate, batch size and number of epochs as text."""
    optimizer = config.optim_wrapper.optimizer
    batch, epochs = config.train_dataloader.batch_size, config.train_cfg.max_epochs
    return f'{optimizer.type} {optimizer.lr:g}, batch {batch}, {epochs} epochs'


def measure(generator: Dict[str, Any]) -> Cost:
    """Count the parameters of a generator and its MACs for a 256x256 image."""
    with torch.device('meta'):
        network = build_model(generator)
    return cost_of(network, 256, 256)


def generate() -> Dict[Path, str]:
    """Generate the content of the README and of the metafile.

    Returns:
        A dict from the path of each file to its text.

    Raises:
        UserError: The README has no markers for the table.
    """
    rows, models = [HEADER, ['---'] * len(HEADER)], []
    costs: Dict[str, Cost] = {}
    for path in sorted(RECIPES.rglob('*.py')):
        config = Config.fromfile(path)
        init_default_scope(config.default_scope)
        generator = config.model.generator
        key = str(generator)
        if key not in costs:
            costs[key] = measure(generator)
        parameters, macs = costs[key]
        restorer = generator.get('restorer', generator).type.rpartition('.')[2]
        title = f'{restorer} + SP' if 'restorer' in generator else restorer
        name = f'`{path.relative_to(RECIPES).as_posix()}`'
        numbers = f'{parameters / 1e6:.2f} M', f'{macs / 1e9:.2f}'
        rows.append([name, title, describe(path), describe_training(config), *numbers])
        dataset = config.train_dataloader.dataset
        data = TRAINING_DATA.get(dataset.get('dataset', dataset).type)
        if data is not None:  # recipes for the user's own photos are not in the metafile
            metadata = {
                'Architecture': [restorer],
                'Training Data': data,
                'Parameters': parameters,
                'MACs at 256x256': macs,
            }
            models.append(
                {
                    'Name': path.stem,
                    'In Collection': COLLECTION['Name'],
                    'Config': path.relative_to(ROOT).as_posix(),
                    'Metadata': metadata,
                }
            )
    table = ''.join(f'| {" | ".join(row)} |\n' for row in rows)
    readme = RECIPES / 'README.md'
    head, _, rest = readme.read_text().partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not end:
        raise UserError(f'{readme} has no lines {BEGIN.strip()} and {END.strip()}; add both lines.')
    metafile = yaml.safe_dump(dict(Collections=[COLLECTION], Models=models), sort_keys=False)
    return {readme: head + BEGIN + table + END + tail, RECIPES / 'metafile.yml': metafile}


def main(argv: List[str]) -> None:
    """Write the files, or check them with ``--check``.

    Args:
        argv: Command-line arguments.

    Raises:
        UserError: A file is not up to date.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--check',
        action='store_true',
        help='write nothing; fail if a file differs from the configs',
    )
    args = parser.parse_args(argv)
    for path, text in generate().items():
        if not args.check:
            path.write_text(text)
        elif not path.is_file() or path.read_text() != text:
            raise UserError(f'{path} differs from the configs; run tools/analysis/recipes.py.')
        print(f'{path} is up to date.')


if __name__ == '__main__':
    logging.disable(logging.INFO)  # each guided restorer logs its seams
    run_main(main)
