"""Restorers share blocks, not copies of code."""

import ast
from collections import defaultdict
from itertools import chain
from pathlib import Path

RESTORERS = Path(__file__).resolve().parents[1] / 'mmspd' / 'models' / 'restorers'
WINDOW = 6


def code_lines(path):
    """Lines of code: without imports, docstrings, comments and lone brackets."""
    tree = ast.parse(path.read_text())
    dropped = set()
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_text or isinstance(node, (ast.Import, ast.ImportFrom)):
            dropped.update(range(node.lineno, node.end_lineno + 1))
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = line.split('#')[0].strip()
        if number not in dropped and text.strip('()[]{},: '):
            yield number, text


def shared_blocks(paths):
    places = defaultdict(list)
    for path in paths:
        lines = list(code_lines(path))
        for start in range(len(lines) - WINDOW + 1):
            block = tuple(text for _, text in lines[start : start + WINDOW])
            places[block].append(f'{path.name}:{lines[start][0]}')
    return [found for found in places.values() if len({f.partition(':')[0] for f in found}) > 1]


def test_no_two_restorers_share_six_lines():
    assert not shared_blocks(sorted(RESTORERS.glob('*.py')))


def test_the_check_sees_a_copy(tmp_path):
    original = RESTORERS / 'unet.py'
    copy = tmp_path / 'copy.py'
    copy.write_text(original.read_text())
    found = shared_blocks([original, copy])
    assert any('copy.py' in place for place in chain.from_iterable(found))
