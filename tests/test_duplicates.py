"""Restorers share building blocks and do not copy code."""

import ast
from itertools import combinations
from pathlib import Path

RESTORERS = Path(__file__).resolve().parents[1] / 'mmspd' / 'models' / 'restorers'
WINDOW = 6


def blocks(path):
    """Return all groups of six consecutive lines, without imports, docstrings and comments."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            node.body = [
                part
                for part in node.body
                if not isinstance(part, (ast.Import, ast.ImportFrom))
                and not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
            ]
    lines = [line for line in ast.unparse(tree).splitlines() if line]
    return {tuple(lines[start : start + WINDOW]) for start in range(len(lines) - WINDOW + 1)}


def shared_blocks(paths):
    return set.union(*(blocks(one) & blocks(other) for one, other in combinations(paths, 2)))


def test_no_two_restorers_share_six_lines():
    assert not shared_blocks(sorted(RESTORERS.glob('*.py')))


def test_the_check_sees_a_copy(tmp_path):
    copy = tmp_path / 'copy.py'
    copy.write_text('# a copy\n' + (RESTORERS / 'unet.py').read_text())
    assert shared_blocks([RESTORERS / 'unet.py', copy])
