"""What a kernel consists of: its packages, their licences, and both as a CycloneDX bill of materials."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from packaging.utils import canonicalize_name

from swotvre_kernels.errors import LockError, UnknownKernelError
from swotvre_kernels.install import DEFINITION_COPY
from swotvre_kernels.lock import read_lock
from swotvre_kernels.models import Manifest

NOT_DECLARED = "not declared"
#: Longest licence shown; some packages put the whole text where its name belongs.
LICENCE_CHARACTERS = 60


class LicensedPackage(NamedTuple):
    """One installed package.

    Attributes:
        name: its name as PyPI writes it.
        version: its version.
        licence: what it declares, or :data:`NOT_DECLARED`.
        is_expression: whether the licence is an SPDX expression (``License-Expression`` of its metadata).
    """

    name: str
    version: str
    licence: str
    is_expression: bool


def list_licences(environment: Path) -> list[LicensedPackage]:
    """Return the packages of ``environment`` with the licences that they declare, sorted by name."""
    packages = []
    for info in environment.glob("lib/python*/site-packages/*.dist-info"):
        try:
            metadata = HeaderParser().parsestr((info / "METADATA").read_text(encoding="utf-8", errors="replace"))
        except OSError:
            metadata = Message()
        name, _, version = info.name.removesuffix(".dist-info").rpartition("-")
        licence, is_expression = _licence(metadata)
        found = (metadata["Name"] or name, metadata["Version"] or version)
        packages.append(LicensedPackage(canonicalize_name(found[0]), found[1], licence, is_expression))
    return sorted(packages)


def bill_of_materials(environment: Path, manifest: Manifest) -> dict[str, Any]:
    """Return the packages of ``environment`` as a CycloneDX 1.6 document.

    The hashes of a component are those that the lock allows for its files: the wheel that was installed is one of them.

    Raises:
        UnknownKernelError: the lock that the kernel keeps cannot be read.
    """
    try:
        pins = read_lock(environment / DEFINITION_COPY)
    except LockError as error:
        raise UnknownKernelError(f"the lock that {environment.name} keeps cannot be read: {error}") from error
    hashes = {(pin.name, pin.version): pin.sha256 for pin in pins}
    kernel = {
        "type": "application",
        "bom-ref": environment.name,
        "name": manifest.name,
        "version": manifest.version,
        "description": manifest.title,
        "properties": [
            {"name": "swot-vre:identity", "value": manifest.identity},
            {"name": "swot-vre:python", "value": manifest.python},
        ],
    }
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid4().urn,
        "version": 1,
        "metadata": {"timestamp": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", "component": kernel},
        "components": [
            _component(package, hashes.get((package.name, package.version), ()))
            for package in list_licences(environment)
        ],
    }


def _component(package: LicensedPackage, hashes: tuple[str, ...]) -> dict[str, Any]:
    purl = f"pkg:pypi/{package.name}@{quote(package.version, safe='.-')}"
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl,
        "name": package.name,
        "version": package.version,
        "purl": purl,
    }
    if package.is_expression:
        component["licenses"] = [{"expression": package.licence}]
    elif package.licence != NOT_DECLARED:
        component["licenses"] = [{"license": {"name": package.licence}}]
    if hashes:
        component["hashes"] = [{"alg": "SHA-256", "content": content} for content in hashes]
    return component


def _licence(metadata: Message) -> tuple[str, bool]:
    expression = str(metadata["License-Expression"] or "").strip()
    if expression:
        return expression, True
    lines = [line.strip() for line in str(metadata["License"] or "").splitlines() if line.strip()]
    if lines == ["UNKNOWN"]:
        lines = []
    if len(lines) == 1 and len(lines[0]) <= LICENCE_CHARACTERS:
        return lines[0], False
    classifiers = [str(line).split(" :: ") for line in metadata.get_all("Classifier", [])]
    names = [parts[-1] for parts in classifiers if parts[0] == "License" and parts[-1] != "OSI Approved"]
    if names or not lines:
        return ", ".join(names) or NOT_DECLARED, False
    # The whole text of a licence, and no classifier: its first words have to do.
    return lines[0] if len(lines[0]) <= LICENCE_CHARACTERS else f"{lines[0][: LICENCE_CHARACTERS - 3]}...", False
