import gemmi
import numpy as np
import pytest

from mosaicflow.formats import FormatError, open_file

PDB = (
    "HEADER    TEST\n"
    "MODEL        1\n"
    "ATOM      1  N   GLY A   1       1.000   2.000   3.000  1.00  0.00           N\n"
    "HETATM    2  O   HOH A   2       9.000   9.000   9.000  1.00  0.00           O\n"
    "ENDMDL\n"
    "MODEL        2\n"
    "ATOM      1  N   GLY A   1      -1.500-200.250   3.000  1.00  0.00           N\n"
    "ENDMDL\n"
)
CIF = """data_X
loop_
_atom_site.group_PDB
_atom_site.id
_atom_site.Cartn_x
_atom_site.Cartn_y
_atom_site.Cartn_z
ATOM 1 1.0 2.0 3.0
HETATM 2 9 9 9
ATOM 3 4 5 6
"""
GRO = """water
    2
    1SOL     OW    1   1.234   2.000   3.000
    1SOL    HW1    2  -4.000   5.500   6.000  0.1  0.2  0.3
   5.0 5.0 5.0
"""


def test_pdb_atoms_of_all_models_without_hetero_atoms(text_file):
    container = open_file(text_file("a.pdb", PDB))
    np.testing.assert_array_equal(container[0].vertices, [[1, 2, 3], [-1.5, -200.25, 3]])
    assert container.sampling == (1, 1, 1)
    assert len(container) == 1


def test_cif_atoms_without_hetero_atoms(text_file):
    container = open_file(text_file("a.cif", CIF))
    np.testing.assert_array_equal(container[0].vertices, [[1, 2, 3], [4, 5, 6]])


def test_gro_stays_in_nanometre_with_a_sampling_of_ten(text_file):
    container = open_file(text_file("a.gro", GRO + GRO))
    expected = np.array([[1.234, 2, 3], [-4, 5.5, 6]] * 2, dtype=np.float32)
    np.testing.assert_array_equal(container[0].vertices, expected)
    assert container.sampling == (10, 10, 10)


def test_gro_of_higher_precision(text_file):
    row = f"{1:5d}{'SOL':<5s}{'OW':>5s}{1:5d}" + "".join(f"{v:10.5f}" for v in (1.23456, -2, 30))
    container = open_file(text_file("a.gro", f"t\n1\n{row}\n1 1 1\n"))
    np.testing.assert_allclose(container[0].vertices, [[1.23456, -2, 30]], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.pdb", "HEADER\n", "no ATOM records"),
        ("a.pdb", PDB.replace("   1.000   2.000", "   1.0x0   2.000"), "line 3: coordinates"),
        ("a.pdb", "ATOM      1  N\n", "line 1: coordinates"),
        ("a.pdb", PDB.replace("   1.000", "     nan"), "no finite position"),
        ("a.cif", "data_X\n", "no ATOM records"),
        ("a.cif", "nothing\n", "no readable mmCIF"),
        ("a.cif", CIF.replace("4 5 6", "4 5"), "no readable mmCIF"),
        ("a.cif", CIF.replace("4 5 6", "4 ? 6"), "coordinates"),
        ("a.gro", "title\n", "line 2: '' is no number of atoms"),
        ("a.gro", "title\nx\n", "line 2: 'x' is no number of atoms"),
        ("a.gro", "title\n999999999\n", "truncated: 999999999 atoms"),
        ("a.gro", "\n".join(GRO.split("\n")[:4]), "truncated: 2 atoms and a box"),
        ("a.gro", GRO.replace("1.234", "1x234"), "line 3"),
        ("a.gro", "title\n1\nshort\n1 1 1\n", "line 3: no coordinates"),
        ("a.gro", "title\n0\n1 1 1\n", "no ATOM records"),
    ],
)
def test_bad_structures_are_named(text_file, name, text, message):
    with pytest.raises(FormatError, match=message):
        open_file(text_file(name, text))


@pytest.mark.parametrize(
    ("name", "count"), [("1pdj.pdb", 1092), ("1pdj.cif", 1092), ("1YJP.cif", 59)]
)
def test_real_structures_have_the_atoms_that_gemmi_finds(shared_data, name, count):
    path = shared_data(f"structures/{name}")
    atoms = [
        atom.atom.pos.tolist()
        for model in gemmi.read_structure(str(path))
        for atom in model.all()
        if atom.residue.het_flag == "A"
    ]
    vertices = open_file(path)[0].vertices
    assert len(vertices) == len(atoms) == count
    np.testing.assert_array_equal(vertices, np.array(atoms, dtype=np.float32))


def test_the_real_pdb_and_cif_are_the_same_structure(shared_data):
    pdb = open_file(shared_data("structures/1pdj.pdb"))[0].vertices
    cif = open_file(shared_data("structures/1pdj.cif"))[0].vertices
    np.testing.assert_array_equal(pdb, cif)


def test_the_real_vesicle_has_its_head_groups(shared_data):
    container = open_file(shared_data("structures/dppc_vesicle_hg.gro"))
    vertices = container[0].vertices
    assert len(vertices) == 877
    np.testing.assert_allclose(vertices[0], [7.840, 15.867, 11.177], atol=1e-6)
    np.testing.assert_allclose(vertices[-1], [5.448, 18.092, 6.126], atol=1e-6)
    # Nanometre times sampling is angstrom: a vesicle of about 15 nm.
    extent = np.ptp(vertices * container.sampling, axis=0)
    assert np.all((extent > 100) & (extent < 250))
