"""Generate the tables of recipes, results and published weights, and configs/spd/metafile.yml.

python tools/analysis/recipes.py            # run this after you change a config or add a result
python tools/analysis/recipes.py --check    # only check that the files are up to date
"""

import argparse
import ast
import itertools
import logging
import re
import textwrap
from pathlib import Path
from typing import Any, Dict, List, Sequence

import torch
import yaml
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmspd.apis.complexity import Cost, cost_of
from mmspd.errors import UserError
from mmspd.evaluation.contributions import read_all
from mmspd.evaluation.results_tables import paper_tables_markdown, published_table_markdown
from mmspd.registry import build_model
from mmspd.utils.cli import run_main
from mmspd.utils.generated_parts import replace_parts
from mmspd.weights.catalog import CATALOG, Weights, describe_weights

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / 'configs' / 'spd'
WEIGHTS = ROOT / 'docs' / 'weights.md'
RESULTS = ROOT / 'docs' / 'results'
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


def published(recipe: str) -> Dict[str, Any]:
    """Return the entries of the metafile for the published weights of a recipe.

    Args:
        recipe: Name of the config.

    Returns:
        A dict with ``Results`` if results are published, and with ``Weights`` if there is an
        address that MMEngine can load.
    """
    candidates = [weights for weights in CATALOG if weights.recipe == recipe]
    # MMEngine loads a single file with MMagic's names of tensors (generator.*)
    loadable = [weights for weights in candidates if 'open-mmlab' in weights.page]
    entry: Dict[str, Any] = {}
    for weights in (loadable or candidates)[:1]:
        if weights.scores:
            entry['Results'] = results_of(weights)
    for weights in loadable[:1]:
        entry['Weights'] = weights.files[0].url
    return entry


def results_of(weights: Weights) -> List[Dict[str, Any]]:
    """Return the published results of weights in the form of MMagic's metafiles."""
    results = []
    for score in weights.scores:
        metrics = {'PSNR': score.psnr}
        if score.ssim is not None:
            metrics[f'SSIM ({score.ssim_kind})'] = score.ssim
        results.append(dict(Task='Deblurring', Dataset=score.dataset, Metrics=metrics))
    return results


def weights_table() -> str:
    """Return the table of published weights in Markdown."""
    lines = []
    for weights in CATALOG:
        row = describe_weights(weights)
        lines = lines or [list(row), ['---'] * len(row)]
        lines.append([f'[{weights.name}]({weights.page})', *list(row.values())[1:]])
    notes = [
        textwrap.fill(f'- {weights.name}: {weights.note}', 100, subsequent_indent='  ') + '\n'
        for weights in CATALOG
        if weights.note
    ]
    return markdown(lines) + '\n' + ''.join(notes)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return the lines of a table."""
    return ''.join(f'| {" | ".join(row)} |\n' for row in rows)


def results_parts() -> Dict[str, str]:
    """Return the generated parts of the README with results, by name.

    Raises:
        UserError: A contributed result is refused.
    """
    recipes = [path.stem for path in RECIPES.rglob('*.py')]
    trained = read_all(RESULTS / 'recipes', published=False)
    published = read_all(RESULTS / 'official', published=True)
    return {
        'results': paper_tables_markdown(recipes, trained, RECIPES),
        'official': published_table_markdown(published, RECIPES),
    }


def generate() -> Dict[Path, str]:
    """Generate the content of the README, of the page of weights and of the metafile.

    Returns:
        A dict from the path of each file to its text.

    Raises:
        UserError: A page has no markers for its table, or a contributed result is refused.
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
                    **published(path.stem),
                }
            )
    readme = RECIPES / 'README.md'
    metafile = yaml.safe_dump(dict(Collections=[COLLECTION], Models=models), sort_keys=False)
    return {
        readme: replace_parts(readme, {'recipes': markdown(rows), **results_parts()}),
        WEIGHTS: replace_parts(WEIGHTS, {'weights': weights_table()}),
        RECIPES / 'metafile.yml': metafile,
    }


def main(argv: List[str]) -> None:
    """Write the files, or check them with ``--check``.

    Args:
        argv: Command-line arguments.

    Raises:
        UserError: A file is not up to date, or a contributed result is refused.
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
