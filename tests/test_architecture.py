"""Layers of the package and forbidden constructs, checked in the source."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import networkx
import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXTS = {
    path: path.read_text()
    for folder in ('mmspd', 'tools', 'configs', 'projects')
    for path in sorted((ROOT / folder).rglob('*.py'))
}
PACKAGE = {path: ast.parse(text) for path, text in TEXTS.items() if ROOT / 'mmspd' in path.parents}

#: These packages do not import each other, and mmspd.utils imports none of them.
PARTS = ('mmspd.models', 'mmspd.datasets', 'mmspd.evaluation', 'mmspd.engine')
TOP = ('mmspd.apis', 'mmspd.doctor', 'mmspd.visualization')

#: Packages that a layer must not import. Imports may only point down.
LAYERS = {part: (*(other for other in PARTS if other != part), *TOP) for part in PARTS}
LAYERS['mmspd.weights'] = (*PARTS, *TOP)
LAYERS['mmspd.utils'] = (*PARTS, *TOP, 'mmspd.weights')
LAYERS['mmspd.visualization'] = (
    'mmspd.apis',
    'mmspd.doctor',
    'mmspd.datasets',
    'mmspd.evaluation',
    'mmspd.engine',
)
#: Layers of mmspd.models from the top; the packages in _OF_GUIDED are below them.
_MODELS = [f'mmspd.models.{name}' for name in ('deblurrer', 'tiling', 'guided')]
_OF_GUIDED = ('seams', 'priors', 'embeddings', 'restorers', 'losses', 'teachers', 'layers')
LAYERS.update({layer: tuple(_MODELS[:place]) for place, layer in enumerate(_MODELS) if place})
LAYERS.update({f'mmspd.models.{name}': tuple(_MODELS) for name in _OF_GUIDED})


def module_of(path):
    return '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__')


def imports_of(tree):
    """Return all modules that a file imports, at the top or in functions."""
    imports = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # the module of a relative import is None or has no package
            module = '.' * node.level + (node.module or '')
            imports.update([module, *(f'{module}.{alias.name}' for alias in node.names)])
    return imports


IMPORTS = {module_of(path): imports_of(tree) for path, tree in PACKAGE.items()}


def is_in(module, *packages):
    return any(module == package or module.startswith(package + '.') for package in packages)


#: Importing module and imported name.
PAIRS = [(module, name) for module, imports in IMPORTS.items() for name in sorted(imports)]


def test_imports_are_absolute_and_point_down():
    assert not [pair for pair in PAIRS if pair[1].startswith('.')]
    for layer, above in LAYERS.items():
        assert not [pair for pair in PAIRS if is_in(pair[0], layer) and is_in(pair[1], *above)]


@pytest.mark.parametrize('depth', [2, None], ids=['packages', 'modules'])
def test_imports_make_no_circle(depth):
    def node_of(module):
        return '.'.join(module.split('.')[:depth])

    graph = {}
    for module, imports in IMPORTS.items():
        node, own = node_of(module), imports & IMPORTS.keys()
        graph.setdefault(node, set()).update(node_of(n) for n in own if not is_in(n, node))
    assert sum(map(len, graph.values())) > len(graph)
    tuple(TopologicalSorter(graph).static_order())  # CycleError names the circle


@pytest.mark.parametrize(('number', 'parent'), [(0, 'mmspd'), (1, 'mmspd.models')])
def test_pictures_of_the_manual_are_true(number, parent):
    page = (ROOT / 'docs' / 'architecture.md').read_text()
    picture = re.findall(r'(?s)```mermaid\ngraph TD\n(.*?)```', page)[number]
    depth = parent.count('.') + 1
    graph = networkx.DiGraph()
    for pair in PAIRS:
        if all(name.startswith(parent + '.') for name in pair):
            graph.add_edge(*(name.split('.')[depth] for name in pair))
    graph.remove_nodes_from(['errors', 'registry', 'version'])
    graph.remove_edges_from(list(networkx.selfloop_edges(graph)))
    arrows = re.findall(r'(\w+) --> (\w+)', picture)
    assert sorted(arrows) == sorted(networkx.transitive_reduction(graph).edges)


def test_mmagic_is_imported_for_its_base_classes_only():
    importers = {a for a, b in PAIRS if is_in(b, 'mmagic')}
    # the backbones of DeblurGAN-v2 are MMagic's, and have no names in its registry
    assert importers == {
        'mmspd.models.data_preprocessor',
        'mmspd.models.deblurrer',
        'mmspd.models.restorers.deblurganv2',
    }


def test_nothing_else_knows_concrete_restorers():
    restorers = 'mmspd.models.restorers'
    general = [f'{restorers}.{name}' for name in ('base', 'blocks')]
    importers = {a for a, b in PAIRS if b.startswith(restorers + '.') and not is_in(b, *general)}
    assert importers
    assert not [a for a in importers if not is_in(a, restorers)]


def test_no_device_is_written_into_the_package():
    devices = [
        (path.name, node.value)
        for path, tree in PACKAGE.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r'(cuda|mps|npu|musa|mlu)(:\d+)?', node.value)
    ]
    assert not devices
    assert not [path for path in PACKAGE if re.search(r'\.cuda\(', TEXTS[path])]


@pytest.mark.parametrize(
    'pattern',
    ['find_unused_' + 'parameters', r'weights_only\s*=\s*False', r'(?m)^\s*except\s*:'],
    ids=['unused parameters', 'unsafe loader', 'bare except'],
)
def test_no_file_has(pattern):
    assert not [str(path) for path, text in TEXTS.items() if re.search(pattern, text)]
