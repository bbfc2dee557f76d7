"""A user's own kernel: on top of one version of a site's kernel, or from scratch.

For users too: ``python -m swotvre_kernels.user_kernels NAME`` in a terminal of a session, by the interpreter of a
kernel. Standard library only, therefore, with nothing but the errors of this package.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from swotvre_kernels.errors import InstallError, KernelError, PrefixError, UnknownKernelError

#: What stands beside the packages of a user's kernel, and says that the folder may be replaced.
RECORD = "swot-vre-user-kernel.json"
FROM_SCRATCH = "nothing"
_PROGRAM = "python -m swotvre_kernels.user_kernels"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_PARTS = Path(__file__).parent


class Base(NamedTuple):
    """The version of a site's kernel that a user's kernel stands on, for as long as it exists."""

    name: str
    version: str
    environment: Path
    #: Content of its ``kernel.json``.
    spec: dict[str, Any]


class UserKernel(NamedTuple):
    """The answer of :func:`add_user_kernel`: the folder of the packages, the kernelspec, and what it stands on."""

    folder: Path
    kernelspec: Path
    base: Base | None


def add_user_kernel(
    name: str,
    *,
    on: str | None,
    kernel_folders: Sequence[Path],
    folder: Path,
    data_folder: Path,
    requirements: Sequence[str] = (),
    requirement_files: Sequence[Path] = (),
    title: str = "",
    replace: bool = False,
) -> UserKernel:
    """Make a kernel of a user's own and let his sessions offer it.

    Args:
        name: name of the kernelspec.
        on: kernel of the site whose present version it stands on, for good; None: Python alone.
        kernel_folders: folders with the site's kernelspecs.
        folder: folder of its packages, below the user's project or home.
        data_folder: the user's Jupyter folder, ``~/.local/share/jupyter``.
        requirements: packages to install (PEP 508).
        requirement_files: files of such.
        title: what the launcher shows; default: the name.
        replace: make it anew where it is already there.

    Raises:
        UnknownKernelError: the site has no kernel ``on``.
        PrefixError: a folder is in the way or cannot be written.
        InstallError: pip could not install what was asked for; nothing is left, an older kernel of this name is.
    """
    if not _NAME.fullmatch(name):
        raise UnknownKernelError(f"expected a name of a-z, 0-9, - and _, received {name!r}")
    base = find_base(on, kernel_folders) if on else None
    spec = data_folder / "kernels" / name
    folder = folder.absolute()
    _require_ours(folder, spec, replace)
    asked = [*requirements, *(f"-r {file.absolute()}" for file in requirement_files)]
    try:
        with _put_aside(folder):
            folder.mkdir(parents=True, exist_ok=True)
            record = {"name": name, "on": on, "requirements": asked}
            (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            _fill(folder, base, asked)
            _write_kernelspec(spec, name, title or name, folder, base, _command(name, base, folder, asked))
    except OSError as error:
        raise PrefixError(f"the kernel {name} cannot be made: {error}") from error
    return UserKernel(folder, spec, base)


def find_base(name: str, kernel_folders: Sequence[Path]) -> Base:
    """Return the version of the site's kernel ``name`` that sessions start now, or the version that ``name`` names.

    Raises:
        UnknownKernelError: there is none; the message lists those that exist.
    """
    found: set[str] = set()
    for folder in kernel_folders:
        for file in sorted(folder.glob("*/kernel.json")):
            try:
                spec = json.loads(file.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
            ours = spec.get("metadata", {}).get("swot_vre", {})
            if "kernel" not in ours or "user_kernel" in ours:
                continue
            found.add(file.parent.name)
            if file.parent.name == name:
                # .../<environment>/share/jupyter/kernels/<name>, behind the link that the next version replaces.
                return Base(ours["kernel"], ours["version"], file.parent.resolve().parents[3], spec)
    looked = ", ".join(map(str, kernel_folders)) or "no folder: JUPYTER_PATH is not set"
    raise UnknownKernelError(f"no kernel {name!r} ({looked}); expected one of: {', '.join(sorted(found)) or 'none'}")


def _require_ours(folder: Path, spec: Path, replace: bool) -> None:
    if folder.exists() and not (folder / RECORD).is_file() and any(folder.iterdir()):
        raise PrefixError(f"{folder} is there already and holds no kernel; choose another one with --folder")
    if not spec.exists():
        return
    try:
        content = json.loads((spec / "kernel.json").read_text(encoding="utf-8"))
        ours = "user_kernel" in content.get("metadata", {}).get("swot_vre", {})
    except (OSError, ValueError):
        ours = False
    if not ours:
        raise PrefixError(f"{spec} is there already and is not of swot-vre; choose another name")
    if not replace:
        raise PrefixError(f"{spec} is there already; add --replace to make the kernel anew")


@contextmanager
def _put_aside(folder: Path) -> Iterator[None]:
    """Keep what is in ``folder`` until the block has ended well; else put it back."""
    # Not made elsewhere and moved: the programs in bin/ name the folder that they were made in.
    old = folder.with_name(f".{folder.name}.old")
    if folder.exists() and not old.exists():
        folder.rename(old)
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _fill(folder: Path, base: Base | None, asked: Sequence[str]) -> None:
    python = base.environment / "bin" / "python" if base else Path(sys.executable)
    asked = [*asked, *([] if base else ["ipykernel"])]
    _run([str(python), "-m", "venv", str(folder)], "no environment can be made")
    if base:
        site = next((folder / "lib").glob("python3.*/site-packages"))
        packages = next((base.environment / "lib").glob("python3.*/site-packages"))
        # After the user's own packages, which therefore win.
        line = f"import site; site.addsitedir({str(packages)!r})\n"
        (site / "swot-vre-base.pth").write_text(line, encoding="utf-8")
    if asked:
        command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
        _run([*command, *(word for line in asked for word in _words(line))], "the packages cannot be installed")


def _words(line: str) -> list[str]:
    return ["-r", line.removeprefix("-r ")] if line.startswith("-r ") else [line]


def _run(command: Sequence[str], what: str) -> None:
    foreign = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_USER"}
    environment = {key: value for key, value in os.environ.items() if key not in foreign}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise InstallError(f"{what}: {said or f'exit code {done.returncode}'}")


def _write_kernelspec(spec: Path, name: str, title: str, folder: Path, base: Base | None, command: str) -> None:
    variables = dict(base.spec.get("env", {})) if base else {"PYTHONNOUSERSITE": "1"}
    ours = dict(base.spec["metadata"]["swot_vre"]) if base else {}
    content = {
        "argv": ["/bin/sh", "{resource_dir}/start.sh", "{connection_file}"],
        "display_name": title,
        "language": "python",
        "env": variables | {"SWOTVRE_USER_KERNEL": name},
        "metadata": {"debugger": True, "swot_vre": {**ours, "user_kernel": name}},
    }
    lines = [
        f"name={shlex.quote(name)}",
        f"folder={shlex.quote(str(folder))}",
        f"base={shlex.quote(str(base.environment) if base else '')}",
        f"base_title={shlex.quote(f'{base.name} {base.version}' if base else '')}",
        f"command={shlex.quote(command)}",
    ]
    fresh = spec.with_name(f".{name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    (fresh / "kernel.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    script = (_PARTS / "start_user_kernel.sh").read_text(encoding="utf-8")
    (fresh / "start.sh").write_text("\n".join([*lines, script]), encoding="utf-8")
    shutil.copyfile(_PARTS / "explain_kernel.py", fresh / "explain_kernel.py")
    shutil.rmtree(spec, ignore_errors=True)
    fresh.rename(spec)


def _command(name: str, base: Base | None, folder: Path, asked: Sequence[str]) -> str:
    """Return the command that makes this kernel anew, on the version that is there then."""
    words = [name, "--on", base.name if base else FROM_SCRATCH, "--folder", str(folder)]
    for line in asked:
        words += ["--requirements", line.removeprefix("-r ")] if line.startswith("-r ") else ["--package", line]
    return f"{_PROGRAM} {shlex.join(words)} --replace"


def kernel_folders_of_session() -> list[Path]:
    """Return where this session finds the site's kernelspecs."""
    return [Path(path) / "kernels" for path in os.environ.get("JUPYTER_PATH", "").split(os.pathsep) if path]


def add_options(parser: argparse.ArgumentParser, default_kernel: str) -> None:
    """Add what the command takes."""
    parser.add_argument("name", metavar="NAME", help="name of the new kernel")
    text = f"kernel of the site that it stands on, or {FROM_SCRATCH} (default: {default_kernel})"
    parser.add_argument("--on", default=default_kernel, metavar="KERNEL", help=text)
    parser.add_argument(
        "--requirements", type=Path, action="append", default=[], metavar="FILE", help="packages to add"
    )
    parser.add_argument("--package", action="append", default=[], metavar="REQUIREMENT", help="one package to add")
    text = "folder of its packages (default: ~/.local/share/swot-vre/NAME); the project's space has room"
    parser.add_argument("--folder", type=Path, metavar="DIR", help=text)
    parser.add_argument("--title", default="", help="what the launcher shows (default: NAME)")
    parser.add_argument("--replace", action="store_true", help="make it anew, on the kernel's present version")


def add(args: argparse.Namespace, out: TextIO, kernel_folders: Sequence[Path]) -> int:
    """Add the kernel that the options describe."""
    data = os.environ.get("JUPYTER_DATA_DIR") or Path.home() / ".local" / "share" / "jupyter"
    added = add_user_kernel(
        args.name,
        on=None if args.on == FROM_SCRATCH else args.on,
        kernel_folders=kernel_folders,
        folder=args.folder or Path.home() / ".local" / "share" / "swot-vre" / args.name,
        data_folder=Path(data),
        requirements=args.package,
        requirement_files=args.requirements,
        title=args.title,
        replace=args.replace,
    )
    base = f"{added.base.name} {added.base.version}" if added.base else "nothing but Python"
    print(f"The kernel {args.name} is ready, on {base}: {added.folder}", file=out)
    print("The launcher of JupyterLab shows it within a minute.", file=out)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Add a kernel; return 0, or 2 with the reason on standard error."""
    parser = argparse.ArgumentParser(prog=_PROGRAM, description="Make a kernel of your own.")
    add_options(parser, os.environ.get("SWOTVRE_DEFAULT_KERNEL", "swot-ocean"))
    try:
        return add(parser.parse_args(arguments), sys.stdout, kernel_folders_of_session())
    except KernelError as error:
        sys.stderr.write(f"swot-vre: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
