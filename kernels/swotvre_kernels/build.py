"""Build a kernel beside the old one, verify it, and only then switch to it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from swotvre_kernels.bytecode import find_twin, take_bytecode
from swotvre_kernels.commands import clean_environment, run_logged
from swotvre_kernels.definitions import (
    ENVIRONMENTS,
    GUESTS_FOLDER,
    KernelSource,
    find_environment,
    read_kernels,
    requirements_of,
)
from swotvre_kernels.drift import Files, digest_files, find_drift, unlike_records, write_listing
from swotvre_kernels.errors import InstallError, NoSpaceError, PrefixError
from swotvre_kernels.identity import build_identity
from swotvre_kernels.install import (
    DEFINITION_COPY,
    activate,
    active_kernels,
    environment_python,
    write_manifest,
)
from swotvre_kernels.interpreter import Interpreter, find_interpreter, find_uv
from swotvre_kernels.kernelspec import write_kernelspecs
from swotvre_kernels.lock import check_lock
from swotvre_kernels.models import BUILD_LOCK_FILE, LOCK_FILE, EnvironmentDefinition, Manifest, read_definition
from swotvre_kernels.prefix import (
    LOG_FOLDER,
    Progress,
    locked,
    make_prefix,
    marker_of,
    remove_environment,
    remove_leftovers,
    remove_tree,
    require_space,
    set_folders_writable,
    write_marker,
)
from swotvre_kernels.project import DISTRIBUTION, Project, open_project
from swotvre_kernels.verify import verify_environment

#: What uv notes beside a package that it installed from a local wheel: when the wheel was made.
_TIME_OF_WHEEL = "uv_cache.json"


class KernelBuild(NamedTuple):
    """The answer of :func:`build_kernel`.

    Attributes:
        path: folder of the environment.
        manifest: what the environment says about itself.
        reused: it was built and verified before; nothing was done but, if needed, the switch to it.
    """

    path: Path
    manifest: Manifest
    reused: bool


class _Plan(NamedTuple):
    """All that decides a build, found before anything is written."""

    folder: Path
    definition: EnvironmentDefinition
    kernels: tuple[KernelSource, ...]
    interpreter: Interpreter
    project: Project | None
    pins: int
    identity: str


def build_kernel(
    name: str,
    prefix: Path,
    *,
    project: Path | None = None,
    python: Path | None = None,
    environments: Path = ENVIRONMENTS,
    progress: Progress = lambda step, fraction: None,
) -> KernelBuild:
    """Make sure that the kernel ``name`` is built from its present definition, verified, and the active one.

    What is built is its environment, with all the kernels that stand in it. Returns at once when it is. Otherwise the
    environment is built in a folder of its own below ``prefix``, verified, and made the active one; whatever goes wrong
    before leaves the active one as it was.

    Args:
        name: name of a kernel, for example ``swot-ocean``.
        prefix: folder of the kernels; ``prefix/share/jupyter`` belongs on ``JUPYTER_PATH``.
        project: checkout or wheel of swot-vre to install; default: where the running code comes from.
        python: interpreter to build on; default: the running one if its version fits, else one that uv finds.
        environments: folder of the definitions.
        progress: called with what is being done and the fraction of the whole that is done, 0 to 1.

    Raises:
        KernelError: one of its kinds, for everything that a person can mend.
    """
    plan = _plan(name, environments, project, python)
    prefix = Path(os.path.abspath(prefix))  # noqa: PTH100 - a link to the prefix is kept: it may be the stable name
    found = find_build(plan.definition.name, plan.identity, prefix, progress)
    if found and active_kernels(found.path, found.manifest) == list(found.manifest.kernel_names):
        progress(f"{found.path.name} is built and verified", 1.0)
        return found
    make_prefix(prefix)
    with locked(prefix, progress) as hold:
        remove_leftovers(prefix, progress)
        found = find_build(plan.definition.name, plan.identity, prefix, progress)
        if found is None:
            require_space(prefix, plan.definition.space_gib)
            found = _build(plan, _free_version(plan.definition, prefix), prefix, hold, progress)
        activate(found.path, found.manifest.kernel_names)
    progress(f"{found.path.name} is active", 1.0)
    return found


def find_build(name: str, identity: str, prefix: Path, progress: Progress) -> KernelBuild | None:
    """Return the whole, verified environment of this identity below ``prefix``, or None.

    One with changed files is passed over. Only files whose size or modification time differs are read here: that is
    quick. ``swot-vre kernels verify`` reads all.
    """
    for path in sorted(prefix.glob(f"{name}-*"), reverse=True):
        manifest = Manifest.read(path)
        whole = manifest and not marker_of(path).exists() and environment_python(path).exists()
        if manifest and whole and manifest.name == name and manifest.identity == identity:
            if drift := find_drift(path, manifest, read_all=False):
                progress(f"{path.name} is not what was installed: {drift[0]} ({len(drift)} files in all)", 0.0)
                continue
            return KernelBuild(path, manifest, reused=True)
    return None


def _plan(name: str, environments: Path, source: Path | None, python: Path | None) -> _Plan:
    folder = find_environment(name, environments)
    definition = read_definition(folder)
    project = open_project(definition.project_extra, source) if definition.project_extra else None
    kernels = read_kernels(folder)
    pins = check_lock(folder, requirements_of(kernels) + (project.requirements if project else ()))
    interpreter = find_interpreter(definition.python, python)
    identity = build_identity(kernels, interpreter, project)
    return _Plan(folder, definition, kernels, interpreter, project, len(pins), identity)


def _free_version(definition: EnvironmentDefinition, prefix: Path) -> str:
    """Return the release, or the release and the serial number after the highest one that is there."""
    first = f"{definition.name}-{definition.version}"
    rest = [path.name.removeprefix(first) for path in prefix.glob(f"{first}*") if path.is_dir()]
    serials = [int(end[1:] or 0) for end in rest if not end or (end[0] == "." and end[1:].isdecimal())]
    return f"{definition.version}.{max(serials) + 1}" if serials else definition.version


def _build(plan: _Plan, version: str, prefix: Path, hold: int, progress: Progress) -> KernelBuild:
    environment = prefix / f"{plan.definition.name}-{version}"
    seconds: dict[str, float] = {}
    try:
        write_marker(environment)
        files = _install(plan, environment, hold, progress, seconds)
        _describe(plan, version, environment)
        with _measured(seconds, "verify"):
            verify_environment(
                environment,
                plan.kernels,
                log_folder=prefix / LOG_FOLDER,
                progress=lambda part: progress("Verifying: imports and smoke notebooks", 0.62 + 0.37 * part),
            )
        manifest = _finish(plan, version, environment, files, seconds)
    except BaseException as error:
        remove_environment(environment)
        if isinstance(error, OSError):
            raise _in_words(error, prefix) from error
        raise
    marker_of(environment).unlink()
    return KernelBuild(environment, manifest, reused=False)


def _install(plan: _Plan, environment: Path, hold: int, progress: Progress, seconds: dict[str, float]) -> Files:
    """Make and fill ``environment``; return the files that the lock put there."""
    log = environment.parent / LOG_FOLDER / f"{environment.name}.log"
    log.unlink(missing_ok=True)
    uv = find_uv()

    progress(f"Making {environment.name} with Python {plan.interpreter.version}", 0.0)
    with _measured(seconds, "venv"):
        command = [uv, "venv", "--no-project", "--relocatable", "--python", str(plan.interpreter.path)]
        command.append(str(environment))
        run_logged(command, log, hold=hold, what="the environment cannot be made")

    with _measured(seconds, "install and compile"):
        install = _install_lock(plan, environment, log, hold, progress)
    with _measured(seconds, "digest"):
        files = _digest_installed(environment, install, progress)
    if plan.project:
        progress(f"Installing swot-vre {plan.project.version}", 0.60)
        with _measured(seconds, "project"):
            _install_project(plan.project, environment, log, hold)
    # No package can be added, replaced or removed by accident; files are links into uv's cache, hence left alone.
    set_folders_writable(environment / "lib", writable=False)
    return files


def _install_lock(plan: _Plan, environment: Path, log: Path, hold: int, progress: Progress) -> Callable[..., None]:
    """Install the lock; return what installs it once more with other options of uv."""
    lock = plan.folder / LOCK_FILE
    twin = find_twin(plan.definition.name, lock.read_bytes(), plan.interpreter, environment.parent)

    def show() -> None:
        installed, compiled = _installed_fraction(environment, plan.pins)
        step = f"Installing {plan.pins} packages" if installed < 1 and not compiled else "Compiling bytecode"
        progress(step, 0.02 + 0.13 * installed + 0.44 * compiled)

    def install(*options: str) -> None:
        command = [find_uv(), "pip", "install", "--python", str(environment_python(environment)), "--require-hashes"]
        if plan.definition.build_requirements:
            command += ["--build-constraints", str(plan.folder / BUILD_LOCK_FILE)]
        what = "the lock cannot be installed"
        run_logged([*command, *options, "-r", str(lock)], log, hold=hold, what=what, tick=show)
        for module in plan.definition.unwanted_modules:
            for folder in environment.glob(f"lib/python*/site-packages/{module}"):
                for record in folder.parent.glob("*.dist-info/RECORD"):
                    _forget(record, f"{module}/")
                shutil.rmtree(folder)

    if twin is None:
        install("--compile-bytecode")
        return install
    install()
    progress(f"Taking the bytecode of {twin.name}", 0.2)
    taken, left = take_bytecode(twin, environment)
    if left or not taken:
        # The files were copied with new times: nothing of the twin fits.
        install("--reinstall", "--compile-bytecode")
    return install


def _digest_installed(environment: Path, install: Callable[..., None], progress: Progress) -> Files:
    """Return the files of ``environment``; a package with others than its RECORD says is first installed anew.

    Files are links into uv's cache: whoever edits one in a kernel edits it in the cache, and in the next kernel too.
    """
    progress("Checking the installed files", 0.60)
    files = digest_files(environment)
    damaged = unlike_records(environment, files)
    if damaged:
        names = sorted({package.rpartition(" ")[0] for package in damaged.values()})
        progress(f"Installing anew, past uv's cache: {', '.join(names)}", 0.60)
        install("--no-cache", "--compile-bytecode", *(f"--reinstall-package={name}" for name in names))
        # From the wheel whose hash the lock holds: what is there now is right, whatever its RECORD says.
        files = digest_files(environment)
    return files


def _install_project(project: Project, environment: Path, log: Path, hold: int) -> None:
    uv, wheels = find_uv(), environment / "wheel"
    python = str(environment_python(environment))
    install = [uv, "pip", "install", "--python", python, "--no-deps", "--compile-bytecode"]
    asked = str(project.source)
    if isinstance(project.source, Path):
        wheels.mkdir()
        if project.source.is_dir():
            # By the interpreter of the kernel: the checkout asks for a version that may be on nobody's PATH.
            command = [uv, "build", "--wheel", "--python", python, "--out-dir", str(wheels), asked]
            constraints = project.source / "locks" / "build.txt"
            if constraints.exists():
                command += ["--build-constraints", str(constraints)]
            run_logged(command, log, hold=hold, what=f"no wheel can be made of {asked}")
        else:
            shutil.copyfile(project.source, wheels / project.source.name)
        # By its name: installed by its path, it would note the path, and no two builds would be the same.
        install += ["--no-index", "--find-links", str(wheels), "--refresh"]
        asked = f"{DISTRIBUTION}=={project.version}"
    run_logged([*install, asked], log, hold=hold, what=f"{project.source} cannot be installed")
    remove_tree(wheels)
    for noted in environment.glob(f"lib/python*/site-packages/swot_vre-*.dist-info/{_TIME_OF_WHEEL}"):
        _forget(noted.with_name("RECORD"), f"{noted.parent.name}/{noted.name},")
        noted.unlink()


def _forget(record: Path, beginning: str) -> None:
    """Take the lines that begin so out of the RECORD of a package, which says what files it has."""
    lines = record.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(beginning)]
    if kept == lines:
        return
    # A new file: the old one may be a link into uv's cache.
    record.unlink()
    record.write_text("".join(kept), encoding="utf-8")


def _describe(plan: _Plan, version: str, environment: Path) -> None:
    """Write the definition that ``environment`` was built from, and the kernelspecs, into it."""
    for number, kernel in enumerate(plan.kernels):
        copy = environment / DEFINITION_COPY
        if number:
            copy = copy / GUESTS_FOLDER / kernel.definition.name
        copy.mkdir(parents=True)
        for path in kernel.folder.iterdir():
            if path.is_file():
                (copy / path.name).write_bytes(path.read_bytes())
        write_kernelspecs(environment, kernel, version=version, identity=plan.identity)


def _finish(plan: _Plan, version: str, environment: Path, files: Files, seconds: dict[str, float]) -> Manifest:
    now = datetime.now(UTC).replace(microsecond=0)
    manifest = Manifest(
        name=plan.definition.name,
        kernels=tuple(kernel.definition.name for kernel in plan.kernels),
        title=plan.definition.title,
        version=version,
        identity=plan.identity,
        python=plan.interpreter.version,
        base_interpreter=str(plan.interpreter.path),
        built_at=now,
        verified_at=now,
        packages=_packages(environment),
        size_bytes=_size_bytes(environment),
        seconds={phase: round(value, 1) for phase, value in seconds.items()},
        installed_sha256=write_listing(environment, digest_files(environment, files)),
    )
    write_manifest(environment, manifest)
    return manifest


def _packages(environment: Path) -> dict[str, str]:
    command = [find_uv(), "pip", "list", "--format", "json", "--python", str(environment_python(environment))]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env=clean_environment())
    if answer.returncode != 0:
        raise InstallError(f"uv cannot list the packages of {environment}: {answer.stderr.strip()}")
    return {entry["name"]: entry["version"] for entry in json.loads(answer.stdout)}


def _size_bytes(path: Path) -> int:
    return sum(
        os.lstat(os.path.join(folder, name)).st_blocks * 512  # noqa: PTH118 - tens of thousands of strings
        for folder, _, names in os.walk(path)
        for name in names
    )


def _installed_fraction(environment: Path, packages: int) -> tuple[float, float]:
    """Return how much of the packages is there, and how much of it is compiled: by what lies in the folders."""
    site = next(environment.glob("lib/python*/site-packages"), None)
    if site is None:
        return 0.0, 0.0
    names = os.listdir(site)  # noqa: PTH208 - strings are enough
    installed = sum(name.endswith(".dist-info") for name in names) / max(1, packages)
    roots = [site / name for name in names if (site / name / "__init__.py").exists()]
    compiled = sum((root / "__pycache__").is_dir() for root in roots) / max(1, len(roots))
    return min(1.0, installed), compiled


def _in_words(error: OSError, prefix: Path) -> PrefixError | NoSpaceError:
    if error.errno == 28:  # ENOSPC
        return NoSpaceError(f"the disk of {prefix} is full: {error}")
    return PrefixError(f"cannot build in {prefix}: {error}")


@contextmanager
def _measured(seconds: dict[str, float], phase: str) -> Iterator[None]:
    start = time.monotonic()
    yield
    seconds[phase] = time.monotonic() - start
