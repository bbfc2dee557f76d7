from __future__ import annotations

import re
import uuid
from datetime import datetime
from pathlib import Path

import pytest

from swotvre_kernels.build import KernelBuild
from swotvre_kernels.errors import UnknownKernelError
from swotvre_kernels.install import DEFINITION_COPY
from swotvre_kernels.licences import bill_of_materials, list_licences
from swotvre_kernels.models import LOCK_FILE, Manifest


def add_package(environment: Path, name: str, *headers: str) -> None:
    info = environment / f"lib/python3.12/site-packages/{name}-1.0+a.dist-info"
    info.mkdir(parents=True)
    lines = ("Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0+a", *headers)
    (info / "METADATA").write_text("\n".join(lines) + "\n\nLong description\n")


@pytest.mark.parametrize(
    ("headers", "licence"),
    [
        (["License-Expression: BSD-3-Clause", "License: something else"], "BSD-3-Clause"),
        (["License: MIT License", "Classifier: License :: OSI Approved :: BSD License"], "MIT License"),
        (
            ["License: Copyright (c) by", "        whom", "Classifier: License :: OSI Approved :: BSD License"],
            "BSD License",
        ),
        (["License: Copyright (c) by", f"        {'long ' * 100}"], "Copyright (c) by"),
        (["License: " + "long " * 100], ("long " * 100)[:57] + "..."),
        (["License: UNKNOWN", "Classifier: License :: OSI Approved :: BSD License"], "BSD License"),
        (["Classifier: License :: OSI Approved", "Classifier: License :: OSI Approved :: ISC"], "ISC"),
        (["Classifier: Programming Language :: Python"], "not declared"),
    ],
)
def test_licence_is_what_the_package_declares(tmp_path: Path, headers: list[str], licence: str) -> None:
    add_package(tmp_path, "Some_Package", *headers)
    assert [(each.name, each.licence) for each in list_licences(tmp_path)] == [("some-package", licence)]


def test_package_without_metadata_declares_nothing(tmp_path: Path) -> None:
    (tmp_path / "lib/python3.12/site-packages/some_package-1.0.dist-info").mkdir(parents=True)
    assert list_licences(tmp_path) == [("some-package", "1.0", "not declared", False)]


def test_every_package_of_the_kernel_is_listed(built_once: tuple[Path, KernelBuild]) -> None:
    build = built_once[1]
    found = list_licences(build.path)
    assert {each.name: each.version for each in found} == build.manifest.packages
    assert {each.name: each.licence for each in found}["ipykernel"] == "BSD-3-Clause"


def test_bill_of_materials_names_every_package_with_the_hashes_of_the_lock(copied: Path) -> None:
    environment = copied / "tiny-2026.11"
    add_package(environment, "extra")
    manifest = Manifest.read(environment)
    assert manifest
    bill = bill_of_materials(environment, manifest)
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert uuid.UUID(bill["serialNumber"].removeprefix("urn:uuid:"))
    assert datetime.fromisoformat(bill["metadata"]["timestamp"]).tzinfo
    assert (bill["metadata"]["component"]["name"], bill["metadata"]["component"]["version"]) == ("tiny", "2026.11")
    components = {component["name"]: component for component in bill["components"]}
    assert components.keys() == {*manifest.packages, "extra"}
    assert len({component["bom-ref"] for component in bill["components"]}) == len(components)

    kernel = components["ipykernel"]
    version = manifest.packages["ipykernel"]
    assert (kernel["type"], kernel["version"]) == ("library", version)
    assert kernel["purl"] == f"pkg:pypi/ipykernel@{version}"
    assert kernel["licenses"] == [{"expression": "BSD-3-Clause"}]
    lock = (environment / DEFINITION_COPY / LOCK_FILE).read_text()
    block = lock.partition(f"ipykernel=={version}")[2].partition("    # via")[0]
    assert kernel["hashes"] == [
        {"alg": "SHA-256", "content": content} for content in re.findall(r"sha256:([0-9a-f]{64})", block)
    ]
    assert components["extra"] == {
        "type": "library",
        "bom-ref": "pkg:pypi/extra@1.0%2Ba",
        "name": "extra",
        "version": "1.0+a",
        "purl": "pkg:pypi/extra@1.0%2Ba",
    }
    (environment / DEFINITION_COPY / LOCK_FILE).unlink()
    with pytest.raises(UnknownKernelError, match=r"the lock that tiny-2026\.11 keeps"):
        bill_of_materials(environment, manifest)
