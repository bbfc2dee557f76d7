"""The project itself as something to install into a kernel: a checkout, a wheel, or a release."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import tomllib
import zipfile
from email.parser import HeaderParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from packaging.requirements import Requirement

from swotvre_kernels.errors import ProjectError

DISTRIBUTION = "swot-vre"
#: The import packages that run in a kernel; changes elsewhere in the project make no new kernel.
KERNEL_PACKAGES = ("swotvre", "swotvre_catalogs")


class Project(NamedTuple):
    """The project to install.

    Attributes:
        source: folder of a checkout, file of a wheel, or a requirement such as ``swot-vre==0.1.0``.
        version: version of the project.
        digest: SHA-256 of what runs in a kernel.
        requirements: the requirements of the asked extra, PEP 508.
    """

    source: Path | str
    version: str
    digest: str
    requirements: tuple[str, ...]


def open_project(extra: str, source: Path | None = None) -> Project:
    """Describe the project at ``source``: a checkout, a wheel, or where the running code comes from.

    Raises:
        ProjectError: ``source`` is neither, or has no such extra.
    """
    source = source or _own_source()
    if source is None:
        return _release(extra)
    if source.is_dir():
        return _checkout(source.resolve(), extra)
    if source.is_file() and source.suffix == ".whl":
        return _wheel(source.resolve(), extra)
    raise ProjectError(f"expected a checkout of {DISTRIBUTION} or a wheel (.whl), received {source}")


def _own_source() -> Path | None:
    for folder in Path(__file__).resolve().parents:
        if (folder / "pyproject.toml").is_file():
            return folder
    try:
        # PEP 610: an installation from a folder or a file remembers which.
        text = importlib.metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return None
    address = urlsplit(json.loads(text)["url"]) if text else None
    path = Path(unquote(address.path)) if address and address.scheme == "file" else None
    return path if path and path.exists() else None


def _release(extra: str) -> Project:
    try:
        version = importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError as error:
        raise ProjectError(f"{DISTRIBUTION} is not installed; name a checkout or a wheel with --project") from error
    requirement = f"{DISTRIBUTION}=={version}"
    lines = importlib.metadata.requires(DISTRIBUTION) or []
    return Project(requirement, version, _digest({"release": requirement.encode()}), _of_extra(lines, extra))


def _checkout(folder: Path, extra: str) -> Project:
    try:
        content = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        version = content["project"]["version"]
        extras = content["project"].get("optional-dependencies", {})
        packages = content["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        raise ProjectError(f"{folder} is no checkout of {DISTRIBUTION}: {error!r}") from error
    if extra not in extras:
        raise ProjectError(f"{folder / 'pyproject.toml'} has no extra {extra!r}; it has: {', '.join(extras) or 'none'}")
    files: dict[str, bytes] = {}
    for name in KERNEL_PACKAGES:
        package = next((folder / path for path in packages if Path(path).name == name), None)
        if package is None or not package.is_dir():
            raise ProjectError(f"{folder} holds no package {name}")
        files |= {
            path.relative_to(package.parent).as_posix(): path.read_bytes()
            for path in sorted(package.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        }
    return Project(folder, version, _digest(files | {"version": version.encode()}), tuple(extras[extra]))


def _wheel(path: Path, extra: str) -> Project:
    try:
        with zipfile.ZipFile(path) as wheel:
            names = sorted(wheel.namelist())
            metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
            headers = HeaderParser().parsestr(wheel.read(metadata).decode())
            files = {name: wheel.read(name) for name in names if name.partition("/")[0] in KERNEL_PACKAGES}
    except (OSError, zipfile.BadZipFile, StopIteration) as error:
        raise ProjectError(f"{path} is not a wheel: {error!r}") from error
    version = headers["Version"]
    digest = _digest(files | {"version": version.encode()})
    return Project(path, version, digest, _of_extra(headers.get_all("Requires-Dist", []), extra))


def _of_extra(lines: list[str], extra: str) -> tuple[str, ...]:
    """Return the requirements that only the extra asks for, without the marker that says so."""
    found = []
    for requirement in map(Requirement, lines):
        marker = requirement.marker
        if marker and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""}):
            requirement.marker = None
            found.append(str(requirement))
    return tuple(found)


def _digest(files: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
