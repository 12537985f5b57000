"""The layering of the package and a few things that must not be in it, read from the source."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = sorted((ROOT / 'mmspd').rglob('*.py'))
TOOLS = sorted((ROOT / 'tools').rglob('*.py'))
SOURCES = [
    *PACKAGE,
    *TOOLS,
    *sorted((ROOT / 'configs').rglob('*.py')),
    *sorted((ROOT / 'projects').rglob('*.py')),
]

#: These do not know each other, and the utilities below them know none of them.
PARTS = ('mmspd.models', 'mmspd.datasets', 'mmspd.evaluation', 'mmspd.engine')
TOP = ('mmspd.apis', 'mmspd.visualization')

#: An import may only point down: what a layer must not know.
LAYERS = {part: (*(other for other in PARTS if other != part), *TOP) for part in PARTS}
LAYERS['mmspd.weights'] = (*PARTS, *TOP)
LAYERS['mmspd.utils'] = (*PARTS, *TOP, 'mmspd.weights')
LAYERS['mmspd.visualization'] = ('mmspd.apis', 'mmspd.datasets', 'mmspd.evaluation', 'mmspd.engine')
#: Of the models, from the top: what is trained, what runs it in tiles, what is guided, its parts.
_MODELS = [f'mmspd.models.{name}' for name in ('deblurrer', 'tiling', 'guided')]
_OF_GUIDED = ('seams', 'priors', 'embeddings', 'restorers', 'losses', 'teachers', 'layers')
LAYERS.update({layer: tuple(_MODELS[:place]) for place, layer in enumerate(_MODELS) if place})
LAYERS.update({f'mmspd.models.{name}': tuple(_MODELS) for name in _OF_GUIDED})

#: The only module that derives from MMagic's classes.
MMAGIC = {'mmspd.models.deblurrer'}


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def imports_of(path):
    """All modules that a file imports, whether at its top or inside a function."""
    imports = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imports.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path} has a relative import'
            imports.add(node.module)
            imports.update(f'{node.module}.{alias.name}' for alias in node.names)
    return imports


def is_in(module, package):
    return module == package or module.startswith(package + '.')


@pytest.mark.parametrize('path', PACKAGE, ids=module_of)
def test_imports_point_down(path):
    module, imports = module_of(path), imports_of(path)
    for layer, above in LAYERS.items():
        if is_in(module, layer):
            assert not [name for name in imports if any(is_in(name, other) for other in above)]


def graph_of(depth):
    """What each module, or each package down to a depth, imports of the others."""
    modules, graph = {module_of(path): path for path in PACKAGE}, {}

    def node_of(module):
        return '.'.join(module.split('.')[:depth])

    for module, path in modules.items():
        own = {name for name in imports_of(path) if name in modules}
        graph.setdefault(node_of(module), set()).update(
            node_of(name) for name in own if not is_in(module, node_of(name))
        )
    return graph


@pytest.mark.parametrize('depth', [2, None], ids=['packages', 'modules'])
def test_imports_make_no_circle(depth):
    graph = graph_of(depth)
    assert sum(map(len, graph.values())) > len(graph)
    tuple(TopologicalSorter(graph).static_order())  # CycleError names the circle


@pytest.mark.parametrize('path', PACKAGE, ids=module_of)
def test_mmagic_is_imported_for_its_base_classes_only(path):
    if any(is_in(name, 'mmagic') for name in imports_of(path)):
        assert module_of(path) in MMAGIC


def test_the_top_of_the_models_alone_knows_concrete_restorers():
    for path in PACKAGE:
        module = module_of(path)
        if module.startswith('mmspd.models.restorers') or module == 'mmspd.models':
            continue
        concrete = [
            name
            for name in imports_of(path)
            if is_in(name, 'mmspd.models.restorers')
            and name.split('.')[3:4] not in ([], ['base'], ['blocks'])
        ]
        assert not concrete, f'{module} imports {concrete}'


@pytest.mark.parametrize('path', PACKAGE, ids=module_of)
def test_no_device_is_written_into_the_package(path):
    text = path.read_text()
    assert not re.search(r'\.cuda\(', text)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert not re.fullmatch(r'(cuda|mps|npu|musa|mlu)(:\d+)?', node.value)


@pytest.mark.parametrize('path', SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_unused_parameters_are_searched_and_the_safe_loader_stays_on(path):
    text = path.read_text()
    assert 'find_unused_' + 'parameters' not in text
    assert not re.search(r'weights_only\s*=\s*False', text)
    assert not re.search(r'^\s*except\s*:', text, re.MULTILINE)
