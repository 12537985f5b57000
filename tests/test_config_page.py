"""docs/config.md names every key of the main classes with its default, and no other."""

import ast
import inspect
import re
from pathlib import Path

import pytest

from mmspd import registry
from mmspd.datasets import PairedImageDataset
from mmspd.datasets.blur.synthesis import BlurSpec
from mmspd.evaluation import ImageMetric
from mmspd.models.deblurrer import TEST_CFG
from mmspd.models.restorers import Restorer

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = (REPOSITORY / 'docs' / 'config.md').read_text()
REQUIRED = 'required'

#: Classes of the page that no registry has.
BASES = {
    'mmspd.PairedImageDataset': PairedImageDataset,
    'mmspd.BlurSpec': BlurSpec,
    'mmspd.ImageMetric': ImageMetric,
}
#: Arguments that mmspd or the runner gives, which a config does not state.
GIVEN = {
    'mmspd.SPE': {'seams', 'prior_channels', 'prior_strides'},
    'mmspd.SAT': {'prior_channels', 'channels', 'scale'},
    'mmspd.AddFusion': {'prior_channels', 'channels', 'scale'},
    'mmspd.ConcatFusion': {'prior_channels', 'channels', 'scale'},
    'mmspd.MLA': {'channels', 'level'},
    'mmspd.CLC': {'channels'},
    'mmspd.PriorDistillationLoss': {'prior_channels', 'teacher_channels'},
    'mmspd.SegmapDistillationLoss': {'prior_channels', 'teacher_channels'},
    'mmspd.SeededSampler': {'dataset'},
    'mmspd.SeveritySampler': {'dataset'},
    'mmspd.ProgressiveBatchSampler': {'sampler', 'batch_size'},
    'mmspd.ProgressiveCosineLR': {'optimizer'},
    'mmspd.AdversarialConstructor': {'optim_wrapper_cfg', 'paramwise_cfg'},
    'mmspd.BlurSpec': {'severity'},
    'mmspd.stack_batch': {'samples'},
    # the page has these keys once for all metrics
    'mmspd.BlurSeverity': {'collect_device', 'prefix', 'rounding'},
    'mmspd.PixelDifference': {'collect_device', 'prefix', 'rounding'},
}
#: Parts of teachers, and the wrapper that `seams` adds by itself.
LEFT_OUT = {'mmspd.ESPNetv2', 'mmspd.ESPNetv2Backbone', 'mmspd.HookSeams'}


def registered():
    """Every class of mmspd that a config can name, by its type."""
    registries = [getattr(registry, name) for name in registry.__all__ if name.isupper()]
    for each in registries:
        each.import_from_location()
    return {
        f'mmspd.{name}': part
        for each in registries
        for name, part in each.module_dict.items()
        if part.__module__.startswith('mmspd.')
    }


CLASSES = {k: v for k, v in {**registered(), **BASES}.items() if k not in LEFT_OUT}


def rows():
    """Type, key and default of every row of the tables of keys."""
    own_table = ''
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in re.split(r'(?<!\\)\|', line)[1:-1]]
        heading = re.match(r'\| key of `(mmspd\.\w+)`', line)
        if heading or not cells:
            own_table = heading[1] if heading else ''
        elif own_table and cells[0].startswith('`'):
            yield own_table, cells[0].strip('`'), cells[1].strip('`')
        elif len(cells) == 4 and cells[0].startswith('`mmspd.'):
            yield cells[0].strip('`'), cells[1].strip('`'), cells[2].strip('`')


def documented():
    """The keys of every type with their defaults."""
    keys = {}
    for kind, key, default in rows():
        assert key not in keys.setdefault(kind, {}), f'{kind} has {key} twice'
        keys[kind][key] = default
    return keys


DOCUMENTED = documented()


def expected(kind, part):
    """The keys of a class that a config may state, with their defaults."""
    parameters = list(inspect.signature(part).parameters.values())
    hidden = GIVEN.get(kind, set())
    if isinstance(part, type) and issubclass(part, Restorer):
        hidden = {'outputs', 'with_cp'}  # the page has them once for all restorers
    assert hidden <= {parameter.name for parameter in parameters}
    return {
        parameter.name: REQUIRED if parameter.default is parameter.empty else parameter.default
        for parameter in parameters
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and parameter.name not in hidden
    }


def value_of(text):
    """The value of a default on the page, a literal or a dict of literals."""
    if text == REQUIRED:
        return text
    tree = ast.parse(text, mode='eval').body
    if isinstance(tree, ast.Call) and tree.func.id == 'dict':
        return {keyword.arg: ast.literal_eval(keyword.value) for keyword in tree.keywords}
    return ast.literal_eval(tree)


@pytest.mark.parametrize('kind', CLASSES)
def test_the_page_has_every_key_with_its_default(kind):
    page = {key: value_of(text) for key, text in DOCUMENTED.get(kind, {}).items()}
    assert page == expected(kind, CLASSES[kind])


def test_the_page_names_no_other_class():
    assert DOCUMENTED.keys() <= CLASSES.keys()


def test_the_page_has_the_keys_of_test_cfg():
    table = PAGE.partition('| key of `test_cfg` |')[2].partition('\n\n')[0]
    assert re.findall(r'^\| `(\w+)`', table, re.MULTILINE) == [
        *('tile', 'window', 'self_ensemble', 'precision', 'compile')
    ]
    assert set(TEST_CFG) == {'tile', 'window', 'self_ensemble', 'precision', 'compile'}


def test_the_page_has_the_variables_of_the_configs():
    found = {}
    for path in (REPOSITORY / 'configs').rglob('*.py'):
        for name, default in re.findall(r'\{\{\$(\w+):([^}]*)\}\}', path.read_text()):
            found.setdefault(name, set()).add(default)
    table = PAGE.partition('| variable | default |')[2].partition('\n\n')[0]
    page = dict(re.findall(r'^\| `([A-Z_]+)` \| `?([^`|]*?)`? \|', table, re.MULTILINE))
    assert page.keys() == found.keys()
    for name, default in page.items():
        assert found[name] == {default} or (name == 'MMSPD_TEACHER' and default == 'by teacher')


def test_the_page_has_the_hooks_of_the_runtime():
    table = PAGE.partition('| name | type | task |')[2].partition('\n\n')[0]
    page = dict(re.findall(r'^\| `(\w+)`(?:, off)? \| `([\w.]+)` \|', table, re.MULTILINE))
    scope = {}
    exec((REPOSITORY / 'configs' / '_base_' / 'default_runtime.py').read_text(), scope)
    ours = {
        name: hook['type']
        for name, hook in scope['default_hooks'].items()
        if hook['type'].startswith('mmspd.') or name == 'logger'
    }
    off = {'prefetch': 'mmspd.PrefetchHook', 'prior_view': 'mmspd.PriorViewHook'}
    assert page == {**ours, **off}
