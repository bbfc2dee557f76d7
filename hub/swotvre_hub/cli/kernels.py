"""``swot-vre kernels``: build, list, verify, switch, compare, remove and lock the kernels of notebooks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TextIO

from rich.table import Table

from swotvre_hub.cli.kernel_versions import (
    add_diff_options,
    add_list_options,
    add_prune_options,
    add_rollback_options,
    diff,
    print_table,
    prune,
    rollback,
    show_packages,
)
from swotvre_hub.cli.progress import show_progress
from swotvre_hub.state import find_state, load_installed_settings
from swotvre_kernels.build import build_kernel
from swotvre_kernels.definitions import DEFAULT_KERNEL, find_environment, read_kernels, requirements_of
from swotvre_kernels.errors import VerificationError
from swotvre_kernels.kernelspec import KERNELS
from swotvre_kernels.lock import check_lock, write_lock
from swotvre_kernels.models import EnvironmentDefinition, read_definition
from swotvre_kernels.project import open_project
from swotvre_kernels.registry import (
    InstalledKernel,
    KernelState,
    find_kernel,
    has_kernel,
    list_kernels,
    remove_kernel,
    verify_kernel,
)
from swotvre_kernels.user_kernels import add, add_options

#: Exit code after Ctrl-C, as shells count it.
INTERRUPTED = 130


def add_parser(nouns: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``kernels`` and its verbs to the parser of the whole command."""
    kernels = nouns.add_parser("kernels", help="build, list, verify, compare and remove the kernels of notebooks")
    verbs = kernels.add_subparsers(required=True, metavar="VERB")

    build = _verb(verbs, "build", _build, "build a kernel beside the old one and switch to it when it is verified")
    build.add_argument("name", nargs="?", default=DEFAULT_KERNEL, metavar="NAME")
    build.add_argument("--project", type=Path, metavar="PATH_OR_WHEEL", help="checkout or wheel of swot-vre to install")
    build.add_argument("--python", type=Path, metavar="INTERPRETER", help="Python that the kernel stands on")

    add_list_options(_verb(verbs, "list", _list, "show the kernels that are installed, or what one consists of"))

    verify = _verb(
        verbs,
        "verify",
        _verify,
        "compare the files of installed kernels, import their modules, run their smoke notebooks",
    )
    verify.add_argument("name", nargs="?", metavar="NAME[-VERSION]", help="default: every active kernel")

    text = "switch back to an older version of a kernel that is still there"
    add_rollback_options(_verb(verbs, "rollback", _with_prefix(rollback), text))
    add_diff_options(_verb(verbs, "diff", _with_prefix(diff), "show what differs between two versions of a kernel"))
    add_prune_options(_verb(verbs, "prune", _with_prefix(prune), "remove old versions that nothing uses"))

    remove = _verb(verbs, "remove", _remove, "remove an installed kernel")
    remove.add_argument("name", metavar="NAME-VERSION")
    remove.add_argument("--force", action="store_true", help="remove it even if it is the active one")

    text = "make a user's own kernel, on top of a kernel of the site or from scratch"
    add_options(_verb(verbs, "add-user", _with_prefix(_add_user), text), DEFAULT_KERNEL)

    lock = _verb(verbs, "lock", _lock, "write the lock of a kernel from its definition")
    lock.add_argument("name", nargs="?", default=DEFAULT_KERNEL, metavar="NAME")
    lock.add_argument("--check", action="store_true", help="only say whether the lock fits; write nothing")
    lock.add_argument("--upgrade", action="store_true", help="take the newest versions that fit")
    lock.add_argument("--project", type=Path, metavar="PATH_OR_WHEEL", help="project whose extra is locked too")


def _verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace, TextIO], int],
    text: str,
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.add_argument(
        "--prefix", type=Path, metavar="FOLDER", help="folder of the kernels (default: kernels.prefix of the settings)"
    )
    parser.add_argument(
        "--state", metavar="FOLDER", help="state folder (default: $SWOTVRE_STATE, else .vre where you are)"
    )
    parser.set_defaults(run=run)
    return parser


def _with_prefix(run: Callable[[argparse.Namespace, TextIO, Path], int]) -> Callable[[argparse.Namespace, TextIO], int]:
    return lambda args, out: run(args, out, kernel_prefix(args))


def kernel_prefix(args: argparse.Namespace) -> Path:
    """Return the folder of the kernels: of the option, else of the settings."""
    if args.prefix:
        return Path(args.prefix).absolute()
    state = find_state(args.state)
    return state.kernels(load_installed_settings(state))


def _build(args: argparse.Namespace, out: TextIO) -> int:
    try:
        with show_progress(sys.stderr) as part:
            build = build_kernel(
                args.name, kernel_prefix(args), project=args.project, python=args.python, progress=part(args.name)
            )
    except KeyboardInterrupt:
        print("swot-vre: interrupted; what was begun is removed, the active kernel is as it was", file=sys.stderr)
        return INTERRUPTED
    manifest = build.manifest
    if build.reused:
        print(f"{build.path.name} is already built and verified ({manifest.verified_at:%Y-%m-%d %H:%M} UTC).", file=out)
    else:
        phases = ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in manifest.seconds.items())
        print(
            f"{build.path.name} is built, verified and active: {len(manifest.packages)} packages ({phases}).", file=out
        )
    print(f"For Jupyter: JUPYTER_PATH={build.path.parent / 'share' / 'jupyter'}", file=out)
    return 0


def _list(args: argparse.Namespace, out: TextIO) -> int:
    prefix = kernel_prefix(args)
    if args.licenses or args.format == "cyclonedx":
        return show_packages(args, out, prefix)
    kernels = list_kernels(prefix)
    if args.name and kernels:
        name = find_kernel(args.name, prefix).path.name
        kernels = [
            each
            for each in kernels
            if each.path.name == name or (each.manifest and has_kernel(each.manifest, args.name))
        ]
    if not kernels:
        print(f"No kernels in {prefix}. Build one: swot-vre kernels build", file=out)
        return 0
    table = Table(box=None, pad_edge=False)
    for column in ("NAME", "VERSION", "STATE", "PYTHON"):
        table.add_column(column)
    for column in ("PACKAGES", "SIZE", "BUILT (UTC)"):
        table.add_column(column, justify="right")
    table.add_column("KERNELS", overflow="fold")
    for kernel in kernels:
        table.add_row(*_row(kernel))
    print_table(table, out)
    return 0


def _row(kernel: InstalledKernel) -> tuple[str, ...]:
    if kernel.manifest is None:
        return kernel.path.name, "?", str(kernel.state), "?", "?", "?", "?", "?"
    manifest = kernel.manifest
    size = f"{manifest.size_bytes / 2**30:.2f} GiB"
    built = f"{manifest.built_at:%Y-%m-%d %H:%M}"
    packages, kernels = str(len(manifest.packages)), ", ".join(manifest.kernel_names)
    return manifest.name, manifest.version, str(kernel.state), manifest.python, packages, size, built, kernels


def _verify(args: argparse.Namespace, out: TextIO) -> int:
    prefix = kernel_prefix(args)
    if args.name:
        kernels = [find_kernel(args.name, prefix)]
    else:
        kernels = [kernel for kernel in list_kernels(prefix) if kernel.state is KernelState.ACTIVE]
    if not kernels:
        print(f"No active kernel in {prefix}. Build one: swot-vre kernels build", file=out)
        return 1
    failed = 0
    for kernel in kernels:
        try:
            with show_progress(sys.stderr) as part:
                manifest = verify_kernel(
                    kernel, progress=partial(part(kernel.path.name), "files, imports and smoke notebooks")
                )
        except VerificationError as error:
            print(error, file=out)
            failed += 1
        else:
            print(
                f"{kernel.path.name} works: its files are those installed, its imports and its smoke notebooks passed.",
                file=out,
            )
            if manifest.installed_sha256 is None:
                print(
                    "It was built before swot-vre kept a digest of what is installed: its files fit the packages' own "
                    "records, which somebody can have edited too.",
                    file=out,
                )
    return 1 if failed else 0


def _remove(args: argparse.Namespace, out: TextIO) -> int:
    path = remove_kernel(args.name, kernel_prefix(args), force=args.force)
    print(f"{path.name} is removed.", file=out)
    return 0


def _add_user(args: argparse.Namespace, out: TextIO, prefix: Path) -> int:
    return add(args, out, [prefix / KERNELS])


def _lock(args: argparse.Namespace, out: TextIO) -> int:
    folder = find_environment(args.name)
    definition = read_definition(folder)
    requirements = requirements_of(read_kernels(folder)) + _of_project(definition, args.project)
    if args.check:
        pins = check_lock(folder, requirements)
        print(
            f"The lock of {definition.name} fits: {len(pins)} packages for {len(requirements)} requirements.", file=out
        )
    else:
        pins = write_lock(folder, definition, requirements, upgrade=args.upgrade)
        print(f"The lock of {definition.name} is written: {len(pins)} packages.", file=out)
    return 0


def _of_project(definition: EnvironmentDefinition, project: Path | None) -> tuple[str, ...]:
    return open_project(definition.project_extra, project).requirements if definition.project_extra else ()
