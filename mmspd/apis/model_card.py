"""Write the model card of shared weights: data, results with their stamps, limits."""

from typing import Any, Dict, List, Optional, Sequence

from mmengine.config import Config

from mmspd.evaluation.results import Result
from mmspd.utils.tables import text_table
from mmspd.version import __version__

__all__ = ['model_card']

_LIMITS = """\
- The network was trained to remove motion blur of the kind in its training data. It does not
  remove other blur, such as that of a lens out of focus.
- Restored details may differ from the scene. Do not use a restored image as evidence.
- The results above hold for their test set and protocol only.
- Weights that started from published weights keep the license of their authors.
"""


def model_card(
    repository: str,
    config: Config,
    parameters: int,
    digest: str,
    results: Sequence[Result],
    license: Optional[str],
) -> str:
    """Write a model card.

    Args:
        repository: Name of the repository, such as ``'user/mimounet_sp'``.
        config: The config of the training.
        parameters: Number of parameters of the generator.
        digest: SHA-256 of the weights file.
        results: Results of the weights.
        license: License of the weights.

    Returns:
        Markdown with a header for Hugging Face.
    """
    generator = config.model.generator
    restorer = generator.get('restorer', generator).type.rpartition('.')[2]
    guided = ' with a semantic prior' if 'restorer' in generator else ''
    header = ['library_name: mmspd', 'pipeline_tag: image-to-image', 'tags:', '- deblurring']
    header += [f'license: {license}'] if license else []
    stated = license or 'Not stated. Ask the owner of this repository before you use the weights.'
    return '\n'.join(
        [
            '---',
            *header,
            '---',
            f'# {repository}',
            '',
            f'{restorer}{guided}, which removes motion blur. Written by mmspd {__version__}.',
            '',
            '```bash',
            f'mmspd weights pull {repository}',
            '```',
            '',
            'The command prints a folder. `DeblurInferencer(FOLDER)` loads it.',
            '',
            '| property | value |',
            '|---|---|',
            f'| parameters | {parameters} |',
            f'| SHA-256 of model.safetensors | `{digest}` |',
            f'| license | {stated} |',
            *(f'| {name} | {value} |' for name, value in _training(config).items()),
            '',
            '## Results',
            '',
            *(_describe(results) if results else ['No results are given.', '']),
            '## Limits',
            '',
            _LIMITS,
        ]
    )


def _training(config: Config) -> Dict[str, Any]:
    """Describe the training data and the schedule."""
    loader = config.get('train_dataloader')
    if loader is None:
        return {'training data': 'not stated'}
    dataset = loader.dataset
    while 'dataset' in dataset:  # a wrapper that repeats the data set
        dataset = dataset.dataset
    optimizer = config.optim_wrapper.optimizer
    lasts = config.train_cfg.get('max_epochs'), config.train_cfg.get('max_iters')
    length = f'{lasts[0]} epochs' if lasts[0] else f'{lasts[1]} iterations'
    described = {
        'training data': dataset.type.rpartition('.')[2],
        'training': f'{optimizer.type} {optimizer.lr:g}, batch {loader.batch_size}, {length}',
    }
    if config.model.get('load_official'):
        described['started from'] = 'published weights of the restorer'
    return described


def _describe(results: Sequence[Result]) -> List[str]:
    """Return a table for each result, with everything on which its numbers depend."""
    lines: List[str] = []
    for result in results:
        stamp = result.provenance
        dataset = stamp['dataset']
        conditions = {
            'test set': f'{dataset["type"]}, {dataset["images"]} images',
            'protocol': stamp['protocol'],
            'precision': stamp['precision'],
            'self-ensemble': 'yes' if stamp['self_ensemble'] else 'no',
            'tiles': stamp['tiling'] or 'no',
            'windows': stamp.get('window') or 'no',
            'versions': ', '.join(f'{name} {v}' for name, v in stamp['versions'].items()),
            'date': stamp['date'],
            'SHA-256 of the checkpoint': f'`{stamp["checkpoint"]["sha256"]}`',
        }
        rows = [
            [
                name,
                result.metric_info[name].text(value)
                if name in result.metric_info
                else f'{value:g}',
            ]
            for name, value in result.metrics.items()
        ]
        lines += [text_table(['metric', 'mean'], rows), '']
        lines += [f'- {name}: {value}' for name, value in conditions.items()] + ['']
    return lines
