"""Steps of calculations that are no labels are left out, and it is said."""

import re

import pytest

from scalarpath.core.errors import DataError
from scalarpath.data.reading import read_frames

HEAD = """ POTCAR:    PAW_PBE H 15Jun2001
   ions per type =               2
   ISPIN  =      1    spin polarized calculation?
   NELM   =      3;   NELMIN=  2; NELMDL= -5     # of ELM steps
"""
STEP = """  volume of cell :      125.00
      direct lattice vectors                 reciprocal lattice vectors
     5.000000000  0.000000000  0.000000000     0.200000000  0.000000000  0.000000000
     0.000000000  5.000000000  0.000000000     0.000000000  0.200000000  0.000000000
     0.000000000  0.000000000  5.000000000     0.000000000  0.000000000  0.200000000

 POSITION                                       TOTAL-FORCE (eV/Angst)
 -----------------------------------------------------------------------------------
      0.00000      0.00000      0.00000         0.100000      0.000000      0.000000
      0.75000      0.00000      0.00000        -0.100000      0.000000      0.000000
 -----------------------------------------------------------------------------------
  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)
  ---------------------------------------------------
  free  energy   TOTEN  =        -6.70000000 eV

  energy  without entropy=       -6.70000000  energy(sigma->0) =       -6.7000000
"""


def outcar(used):
    """Ionic steps that used so many electronic ones, of which NELM = 3 are allowed."""
    loops = [
        "".join(f"--------- Iteration {k:6d}({j:4d})  ---------\n" for j in range(1, n + 1))
        + " aborting loop because EDIFF is reached\n"
        for k, n in enumerate(used, start=1)
    ]
    return HEAD + "".join(loop + STEP for loop in loops)


def vasprun(used, cut=0):
    """The same as an XML file; ``cut`` characters are missing at its end."""
    vectors = "".join(f"<v>{5 * (k == 0)} {5 * (k == 1)} {5 * (k == 2)}</v>" for k in range(3))
    structure = (
        f'<crystal><varray name="basis">{vectors}</varray></crystal><varray name="positions"><v>0 0 0</v></varray>'
    )
    energy = '<energy><i name="e_fr_energy">-3.4</i><i name="e_0_energy">-3.4</i></energy>'
    steps = "".join(
        f"<calculation>{f'<scstep>{energy}</scstep>' * n}<structure>{structure}</structure>"
        f'<varray name="forces"><v>0 0 0</v></varray>{energy}</calculation>'
        for n in used
    )
    text = (
        '<modeling><parameters><i type="int" name="NELM">3</i></parameters>'
        '<kpoints><varray name="kpointlist"><v>0 0 0</v></varray><varray name="weights"><v>1</v></varray></kpoints>'
        '<atominfo><array name="atoms"><set><rc><c>H</c><c>1</c></rc></set></array></atominfo>'
        f'<structure name="initialpos">{structure}</structure>{steps}</modeling>'
    )
    return text[: len(text) - cut]


def read(path):
    notes = []
    return [frame.number for frame in read_frames(path, notes=notes)], notes


@pytest.mark.parametrize(("name", "text"), [("OUTCAR", outcar), ("vasprun.xml", vasprun)])
def test_steps_that_used_all_electronic_steps_are_left_out_and_named(write, name, text):
    path = write(text([3, 2, 3, 1]), name)
    numbers, notes = read(path)
    assert numbers == [1, 3]
    assert notes == [f"{path}: the electronic loop did not converge in 2 steps (frames 0, 2); left out."]
    assert read(write(text([2, 1]), name)) == ([0, 1], [])
    with pytest.raises(DataError, match=rf"{name}: the electronic loop .* so no frame is left"):
        read(write(text([3]), name))


@pytest.mark.parametrize("section", ["kpoints", "atominfo"])
def test_a_vasprun_without_a_section_that_ase_needs_is_told_which(write, section):
    text = re.sub(f"<{section}>.*</{section}>", "", vasprun([2]))
    message = rf"vasprun.xml, frame 0: the file has no <{section}>, without which ASE cannot read it; repair or remove"
    with pytest.raises(DataError, match=message):
        read(write(text, "vasprun.xml"))


@pytest.mark.parametrize(
    ("name", "text"), [("OUTCAR", outcar([2, 2, 2])[:-900]), ("vasprun.xml", vasprun([2, 2, 2], cut=50))]
)
def test_a_step_that_was_cut_off_is_left_out_and_named(write, name, text):
    path = write(text, name)
    assert read(path) == ([0, 1], [f"{path}: the job was cut off in step 2; left out."])


ESPRESSO = """     Program PWSCF v.7.2 starts
     bravais-lattice index     =            0
     lattice parameter (alat)  =       9.4486  a.u.
     number of atoms/cell      =            1
     celldm(1)=   9.448630  celldm(2)=   0.000000  celldm(3)=   0.000000
     crystal axes: (cart. coord. in units of alat)
               a(1) = (   1.000000   0.000000   0.000000 )
               a(2) = (   0.000000   1.000000   0.000000 )
               a(3) = (   0.000000   0.000000   1.000000 )
     site n.     atom                  positions (alat units)
         1           H   tau(   1) = (   0.0000000   0.0000000   0.0000000  )

{}
ATOMIC_POSITIONS (angstrom)
H             0.1000000000        0.0000000000        0.0000000000

{}
ATOMIC_POSITIONS (angstrom)
H             0.2000000000        0.0000000000        0.0000000000
"""
FORCE = """     Forces acting on atoms (cartesian axes, Ry/au):

     atom    1 type  1   force =     0.00000000    0.00000000    0.00000000
"""


def test_steps_of_espresso_that_did_not_converge_are_left_out(write):
    good = f"!    total energy              =      -1.00000000 Ry\n\n{FORCE}"
    bad = f"     convergence NOT achieved after 100 iterations\n{FORCE}"
    numbers, notes = read(path := write(ESPRESSO.format(bad, good), "run.pwo"))
    assert numbers == [1]
    assert notes == [f"{path}: the electronic loop did not converge in 1 step (frame 0); left out."]
    assert read(write(ESPRESSO.format(good, good), "run.pwo"))[0] == [0, 1]
