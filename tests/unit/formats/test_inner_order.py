"""The rooms of `mosaicflow.formats`: what a caller imports, and who may stand on whom."""

import ast
import graphlib
from pathlib import Path

import pytest

from mosaicflow import formats

_ROOT = Path(formats.__file__).parent
# Written out, not taken from `__all__`: a name that callers have must not go unnoticed.
_PUBLISHED = (
    *("FormatError", "GeometryData", "GeometryDataContainer", "MissingExtraError"),
    *("NotASegmentationError", "OrientationsWriter", "VertexPropertyContainer"),
    *("is_likely_density_map", "is_volume_file", "open_file", "points_from_flat_array"),
    *("read_density_header", "read_legacy_vtk", "read_mesh", "read_mrc_dtype", "read_ndjson"),
    *("read_star", "read_star_header", "read_structure", "read_tsi", "read_tsv", "read_txt"),
    *("read_volume", "read_vtu", "resolve_parser", "resolve_writer", "write_density"),
    *("write_geometries", "write_meshes", "write_ndjson", "write_star", "write_topology_file"),
    *("write_tsv", "write_volume", "write_xyz", "is_session_file", "open_session"),
    *("read_session_index", "read_session_meta", "read_session_section", "write_session"),
    *("UntrustedSessionError", "ZarrImageSource", "ZarrPyramid", "open_omezarr", "pick_level"),
)


@pytest.mark.parametrize("name", _PUBLISHED)
def test_a_published_name_is_still_imported_from_formats(name):
    assert name in formats.__all__
    assert getattr(formats, name).__name__ == name


def test_all_lists_each_name_once_in_order():
    assert formats.__all__ == sorted(set(formats.__all__))


def _imports(path):
    """Modules of the package that a file imports, those for types alone left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body.clear()
    return {
        node.module.removeprefix("mosaicflow.formats.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("mosaicflow.formats.")
    }


def _graph():
    files = [path for path in _ROOT.rglob("*.py") if path.name != "__init__.py"]
    return {
        ".".join(path.relative_to(_ROOT).with_suffix("").parts): _imports(path) for path in files
    }


def test_no_module_imports_itself_on_a_way_around():
    graphlib.TopologicalSorter(_graph()).prepare()


def test_the_ground_stands_on_nothing_else_and_rooms_stand_on_the_ground():
    for module, imported in _graph().items():
        room = module.partition(".")[0]
        if module == room:
            continue  # the doors: `open_file` and `write_geometries` know every room
        foreign = {name for name in imported if name.partition(".")[0] not in (room, "ground")}
        assert not foreign, f"{module} imports {sorted(foreign)}"
