"""The tutorials, executed inside a session of a running hub, by the kernel that the session's own server starts."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
import yaml

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
TUTORIALS = sorted((NOTEBOOKS / "tutorials").glob("*.ipynb"))
#: The first cell of a tutorial tells these.
TOLD_FIRST = ("Kernel", "Session size", "Time", "Data", "Licence")


@pytest.mark.timeout(1800)
def test_every_tutorial_runs_in_a_session_and_draws_its_figures(installed_state: Path, tmp_path: Path) -> None:
    from run_in_session import run

    run(TUTORIALS, installed_state, tmp_path)
    for notebook in TUTORIALS:
        document = nbformat.read(tmp_path / notebook.name, as_version=4)
        outputs = [output for cell in document.cells if cell.cell_type == "code" for output in cell.outputs]
        assert not [output for output in outputs if output.output_type == "error"]
        kinds = {kind for output in outputs for kind in output.get("data", {})}
        assert kinds & {"image/png", "application/vnd.holoviews_exec.v0+json", "text/html"}, notebook.name


@pytest.mark.parametrize("notebook", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_is_stored_without_outputs_and_says_what_it_needs(notebook: Path) -> None:
    document = nbformat.read(notebook, as_version=4)
    code = [cell for cell in document.cells if cell.cell_type == "code"]
    assert not [cell for cell in code if cell.outputs or cell.execution_count]
    assert len(code) <= 25
    assert document.metadata.kernelspec.name == "swot-ocean"
    for word in TOLD_FIRST:
        assert word in document.cells[0].source
    assert "/home/" not in "".join(cell.source for cell in document.cells)


def test_the_gallery_lists_every_tutorial() -> None:
    gallery = yaml.safe_load((NOTEBOOKS / "gallery.yaml").read_text(encoding="utf-8"))
    text = yaml.safe_dump(gallery)
    for notebook in TUTORIALS:
        assert notebook.name in text
