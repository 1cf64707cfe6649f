"""Every number that stands alone at the top of a module says where it comes from."""

import ast
import re
from pathlib import Path

import pytest

import mosaicflow

ROOT = Path(mosaicflow.__file__).parent
PLAIN = ast.Tuple | ast.List | ast.Set | ast.Dict | ast.BinOp | ast.UnaryOp


def numbers(node):
    """Whether a value is made of numbers; calls of other things name their arguments themselves."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and any(map(numbers, node.args))
    if isinstance(node, ast.Constant):
        return type(node.value) in (int, float)
    return isinstance(node, PLAIN) and any(map(numbers, ast.iter_child_nodes(node)))


def constants(text):
    """Line numbers (first, last) and name of each numeric constant of a module."""
    for node in ast.parse(text).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value and numbers(node.value):
            name = getattr(targets[0], "id", "")
            # A ratio of two units and a multiple of bytes have their whole meaning in their names.
            if re.fullmatch(r"_?[A-Z][A-Z0-9_]*", name) and not re.search(
                "_(PER|IN)_|^_[KMG]IB$", name
            ):
                yield node.lineno - 1, node.end_lineno, name


def unsaid(text):
    """Constants without a word in their lines, above them or their group, or as a string below."""
    lines, covered = text.splitlines(), set()
    for first, last, name in constants(text):
        said = any("#" in line for line in lines[first:last])
        above = first > 0 and (lines[first - 1].startswith("#") or first in covered)
        below = lines[last : last + 1] and lines[last].startswith(('"""', "'"))
        if said or above or below:
            covered.add(last)
        else:
            yield name


def test_a_bare_number_is_noticed():
    assert list(unsaid("A = 1\n# Why.\nB = 2\nC = 3\n\nD = (4, 5)\nE_PER_F = 6\n")) == ["A", "D"]
    assert list(unsaid('A = np.sqrt(2)  # as measured\nB = Kind(3)\n\nC = -1\n"""Why."""\n')) == []


ROOMS = sorted({path.parent.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py")})


@pytest.mark.parametrize("room", ROOMS)
def test_every_numeric_constant_says_where_it_comes_from(room):
    found = {path.name: list(unsaid(path.read_text())) for path in (ROOT / room).glob("*.py")}
    assert {name: bare for name, bare in found.items() if bare} == {}
