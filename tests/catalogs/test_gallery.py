"""The gallery's list and its notebooks agree, and the notebooks are stored as they should be."""

import json
import re
from pathlib import Path

import pytest
import yaml

from swotvre_catalogs.products import load_products

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
TUTORIALS = yaml.safe_load((NOTEBOOKS / "gallery.yaml").read_text(encoding="utf-8"))["tutorials"]


def test_every_notebook_is_in_the_list():
    stored = sorted(str(path.relative_to(NOTEBOOKS)) for path in (NOTEBOOKS / "tutorials").glob("*.ipynb"))
    assert stored == [tutorial["file"] for tutorial in TUTORIALS]


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda tutorial: tutorial["file"])
def test_a_notebook_keeps_the_rules(tutorial):
    notebook = json.loads((NOTEBOOKS / tutorial["file"]).read_text(encoding="utf-8"))
    first, *rest = notebook["cells"]
    code = [cell for cell in rest if cell["cell_type"] == "code"]
    text = "".join(first["source"])
    for stated in ("Kernel", "Session size", "Time", "Data", "Licence", tutorial["title"], tutorial["size"]):
        assert stated in text
    assert f"{tutorial['minutes']} minutes" in text
    assert notebook["metadata"]["kernelspec"]["name"] == tutorial["kernel"]
    assert len(code) <= 25
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert "assert" in "".join(code[-1]["source"])


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda tutorial: tutorial["file"])
def test_a_notebook_opens_the_data_that_it_names(tutorial):
    source = (NOTEBOOKS / tutorial["file"]).read_text(encoding="utf-8")
    opened = [name for name in load_products() if re.search(rf'catalog(\(\))?\[\\"{name}\\"\]', source)]
    assert set(tutorial["data"]) <= set(opened)
    assert "://" not in source
