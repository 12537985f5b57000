"""No code of a training step waits for the device; test_configs.py observes the same in a run.

A read of a value on the device, such as ``loss.item()``, waits until the device has finished all
work. These tests look at the source, so they also cover branches that no test runs.
"""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / 'mmspd'

#: Methods and functions of tensors whose result is on the host, or has a size that the host needs.
READS = {
    *('item', 'tolist', 'cpu', 'numpy', 'nonzero', 'argwhere', 'masked_select', 'unique'),
    *('unique_consecutive', 'bincount', 'equal', 'allclose', 'is_nonzero', 'synchronize'),
}
#: Methods and functions of tensors whose result is a tensor, which a condition would read.
TENSORS = {'any', 'all', 'isfinite', 'isnan', 'isinf', 'sum', 'mean', 'max', 'min', 'norm'}
#: Functions that copy from the host. In a constructor, the copies are made once.
COPIES = {'tensor', 'as_tensor', 'from_numpy'}
#: Modules whose functions have results on the host anyway.
HOST = {'math', 'np', 'os', 'Path'}

#: Files with code of a training step.
STEP = ('models/**/*.py', 'engine/**/*.py', 'datasets/blur/on_device.py', 'utils/deferred.py')

#: Functions that read values, and the reason why no training step waits for them.
ALLOWED = {
    # loading, saving, and the start of a run
    'engine/checkpoint_hook.py CheckpointHook.after_load_checkpoint': {'cpu'},
    'engine/checkpoints.py numbered_in': {'int'},
    'engine/convolution_hook.py ConvolutionHook.before_val': {'bool'},
    'engine/convolution_hook.py _tunes': {'bool'},
    'engine/invalid_loss_hook.py InvalidLossHook.before_save_checkpoint': {'all', 'isfinite'},
    'engine/run_folder.py enter_run_folder': {'bool'},
    'engine/runtime_info_hook.py _as_lists': {'tolist'},
    'engine/runtime_info_hook.py _as_plain': {'tolist'},
    # once for each line of the log
    'engine/runtime_info_hook.py RuntimeInfoHook._fetch': {'tolist'},
    # in the workers
    'datasets/blur/on_device.py PlannedBlur.of': {'tensor'},
    'datasets/blur/on_device.py _Region.of': {'float', 'tolist'},
    'datasets/blur/on_device.py _relative': {'int'},
    # numbers of NumPy
    'engine/progressive_lr.py ProgressiveCosineLR.__init__': {'tolist'},
    'engine/progressive_lr.py ProgressiveCosineLR.factor': {'float'},
    'engine/seed_hook.py iteration_seed': {'int'},
    # values of a config
    'models/layers/compilation.py Compiled.reuses_memory': {'bool'},
    # validation and tests
    'models/deblurrer.py SemanticPriorDeblurrer.forward_inference': {'bool', 'cpu'},
    'models/tiling/memory.py _left_in_container': {'int'},
    'models/tiling/network.py TileNetwork._cost': {'int'},
    'models/tiling/restore.py _free_bytes': {'int'},
    'models/tiling/restore.py _restored_tiles': {'from_numpy'},
}


def host_reads(source):
    """The names of the reads in each function of a source text."""
    found = {}

    def walk(node, names):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            names = [*names, node.name]
        for read in reads_of(node, '__init__' in names):
            found.setdefault('.'.join(names), set()).add(read)
        for child in ast.iter_child_nodes(node):
            walk(child, names)

    walk(ast.parse(source), [])
    return found


def reads_of(node, in_constructor):
    """Yield the reads that a node of a syntax tree makes, without those of the nodes in it."""
    if isinstance(node, ast.Call):
        name, owner = name_of(node)
        copies = owner == 'torch' and name in COPIES and not in_constructor
        converts = owner is None and name in ('bool', 'float', 'int')
        if owner not in HOST and (name in READS or copies or converts):
            yield name
    for condition in conditions_of(node):
        for part in ast.walk(condition):
            name, owner = name_of(part) if isinstance(part, ast.Call) else (None, None)
            if name in TENSORS and owner is not None and owner not in HOST:
                yield name


def conditions_of(node):
    """The expressions that a node of a syntax tree tests."""
    if isinstance(node, (ast.If, ast.While, ast.IfExp, ast.Assert)):
        return [node.test]
    if isinstance(node, ast.BoolOp):
        return node.values
    is_negation = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    return [node.operand] if is_negation else []


def name_of(call):
    """The name of a called function, and the name of its owner; None for a function by itself."""
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr, getattr(function.value, 'id', '')
    return getattr(function, 'id', None), None


@pytest.mark.slow
def test_only_these_functions_read_values():
    found = {}
    for place in STEP:
        for path in sorted(PACKAGE.glob(place)):
            for function, names in host_reads(path.read_text()).items():
                found[f'{path.relative_to(PACKAGE)} {function}'.rstrip()] = names
    assert found == ALLOWED


@pytest.mark.parametrize(
    ('line', 'name'),
    [
        ('loss = x.mean().item()', 'item'),
        ('values = torch.stack(losses).tolist()', 'tolist'),
        ('x = x.cpu()', 'cpu'),
        ('rows = torch.nonzero(x)', 'nonzero'),
        ('x = x.unique()', 'unique'),
        ('scale = float(x.mean())', 'float'),
        ('ready = bool(x[0])', 'bool'),
        ('if torch.isnan(x).any(): pass', 'any'),
        ('y = x if x.sum() > 0 else -x', 'sum'),
        ('assert not x.isinf().all()', 'all'),
        ('while flag and x.max() > 1: pass', 'max'),
        ('mean = torch.tensor([0.5, 0.5])', 'tensor'),
        ('torch.cuda.synchronize()', 'synchronize'),
    ],
)
def test_a_read_is_found(line, name):
    source = f'class Net:\n    def forward(self, x):\n        {line}\n'
    assert name in host_reads(source)['Net.forward']


@pytest.mark.parametrize(
    'line', ['x = x.float()', 'y = max(x.shape)', 'if math.isfinite(2.0): pass', 'x = x.sum()']
)
def test_work_on_the_device_and_on_plain_numbers_is_allowed(line):
    assert not host_reads(f'def forward(x):\n    {line}\n')
