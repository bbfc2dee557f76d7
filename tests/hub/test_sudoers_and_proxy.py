"""``swot-vre sudoers`` and ``swot-vre proxy``: rules that sudo reads, and a proxy that does what JupyterHub's would."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from certipy import Certipy  # type: ignore[import-untyped]

from swotvre_hub.cli import main
from swotvre_hub.cli.proxy import proxy_arguments
from swotvre_hub.ports import recorded_ports
from swotvre_hub.settings import Settings, load_settings, read_defaults
from swotvre_hub.state import State

VISUDO = shutil.which("visudo", path="/usr/sbin:/usr/bin:/sbin:/bin")


@pytest.fixture
def state(tmp_path: Path) -> State:
    state = State(tmp_path / ".vre")
    state.run.mkdir(parents=True)
    return state


@pytest.fixture
def site(state: State) -> Callable[..., Settings]:
    """Write the settings of a complete site with some changes, and return them."""

    def write(engine: str = "pbs", **blocks: dict[str, Any]) -> Settings:
        content: dict[str, Any] = {"engine": engine}
        complete = {"batch": {"hub_address": "hub.cluster", "lab": "/shared/lab"}, "auth": {"login": "pam"}}
        for name in {*complete, *blocks}:
            content[name] = {**read_defaults()[name], **complete.get(name, {}), **blocks.get(name, {})}
        path = state.root.parent / "vre.yaml"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return load_settings(path)

    return write


def sudoers(state: State, *options: str) -> tuple[int, str]:
    out = io.StringIO()
    return main(["sudoers", "--state", str(state.root), *options], out), out.getvalue()


def check(rules: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Have visudo read rules."""
    if VISUDO is None:
        pytest.skip("visudo is not installed: nothing tells whether sudo reads the rules")
    path = folder / "rules"
    path.write_text(rules, encoding="utf-8")
    path.chmod(0o440)
    return subprocess.run([VISUDO, "-csf", str(path)], capture_output=True, text=True)


# -- sudoers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["pbs", "slurm"])
def test_sudo_reads_the_rules(site: Callable[..., Settings], state: State, tmp_path: Path, engine: str) -> None:
    site(engine)
    status, rules = sudoers(state)
    assert status == 0
    done = check(rules, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("engine", "folder", "commands"),
    [("pbs", "/opt/pbs/bin", ["qsub", "qdel"]), ("slurm", "/usr/bin", ["sbatch", "scancel"])],
)
def test_the_rules_let_three_commands_run_by_absolute_paths_and_never_as_root(
    site: Callable[..., Settings], state: State, engine: str, folder: str, commands: list[str]
) -> None:
    site(engine, batch={"commands": folder, "lab": "/shared/lab"})
    rules = sudoers(state, "--account", "vrehub", "--users", "%swot")[1].splitlines()
    (start,) = [index for index, line in enumerate(rules) if line.startswith("vrehub ALL=")]
    assert rules[start] == "vrehub ALL=(%swot,!root) NOPASSWD: \\"
    allowed = [line.strip().removesuffix(", \\") for line in rules[start + 1 :]]
    assert allowed == [
        *(f"{folder}/{command}" for command in commands),
        "/shared/lab/bin/python -I -m swotvre_hub.session_files *",
    ]


@pytest.mark.parametrize("option", ["--account", "--users"])
@pytest.mark.parametrize(
    "value", ["a b", "ada,root", "ALL, root", "ada) NOPASSWD: ALL #", "a\nb", "", "%", "#0", "é", "a" * 70, "$(id)"]
)
def test_a_strange_name_is_refused(
    site: Callable[..., Settings], state: State, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    site()
    assert sudoers(state, option, value) == (2, "")
    assert f"{option}: received" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["%vrehub", "Vrehub", "ALL"])
def test_the_hub_is_one_account(
    site: Callable[..., Settings], state: State, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    site()
    assert sudoers(state, "--account", value)[0] == 2
    assert "--account" in capsys.readouterr().err


def test_a_local_engine_needs_no_rules(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    assert sudoers(state) == (2, "")
    assert "needs no sudo" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["commands", "lab"])
@pytest.mark.parametrize("folder", ["/opt/pbs pro/bin", "/opt/pbs:19/bin", "/opt/a, ALL, /b", "/opt/*", "/opt/a=b"])
def test_no_folder_lets_another_command_run(site: Callable[..., Settings], state: State, key: str, folder: str) -> None:
    site(batch={key: folder})
    status, rules = sudoers(state)
    for line in rules.splitlines()[3:] if status == 0 else ():
        command = line.strip().removesuffix(", \\").removesuffix(" -I -m swotvre_hub.session_files *")
        assert not re.search(r"[\s,:=*]", re.sub(r"\\.", "", command))


# -- proxy -----------------------------------------------------------------------------------------------------------


def value_of(arguments: list[str], option: str) -> str:
    assert arguments.count(option) == 1
    return arguments[arguments.index(option) + 1]


def test_the_proxy_listens_where_the_hub_would_have_it(site: Callable[..., Settings], state: State) -> None:
    settings = site(batch={"tls": False}, hub={"address": "0.0.0.0", "port": 8443, "base_url": "/vre/"})
    arguments = proxy_arguments(settings, state)
    assert (value_of(arguments, "--ip"), value_of(arguments, "--port")) == ("0.0.0.0", "8443")
    assert value_of(arguments, "--error-target") == "http://hub.cluster:8081/vre/hub/error"
    assert (value_of(arguments, "--api-ip"), value_of(arguments, "--api-port")) == (
        "127.0.0.1",
        str(recorded_ports(settings, state).proxy_api),
    )
    assert not any("ssl" in argument for argument in arguments)


def test_the_ports_of_the_proxy_stay_the_same_from_start_to_start(site: Callable[..., Settings], state: State) -> None:
    settings = site(batch={"tls": False})
    assert proxy_arguments(settings, state) == proxy_arguments(settings, state)


def test_a_local_hub_is_where_its_port_says(site: Callable[..., Settings], state: State) -> None:
    settings = site("local")
    target = value_of(proxy_arguments(settings, state), "--error-target")
    assert target == f"http://127.0.0.1:{recorded_ports(settings, state).hub}/hub/error"


def test_the_proxy_shows_and_wants_the_certificates_of_the_hub(site: Callable[..., Settings], state: State) -> None:
    folder = state.run / "tls" / "hub.cluster"
    made = Certipy(store_dir=str(folder))  # as JupyterHub does; ``tests/engines`` has it make them itself
    made.trust_from_graph({"proxy-api-ca": ["proxy-client-ca"], "proxy-client-ca": ["proxy-api-ca"]})
    for name in ("proxy-api", "proxy-client"):
        made.create_signed_pair(name, f"{name}-ca", alt_names=["DNS:localhost"])
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    arguments = proxy_arguments(site(), state)
    assert value_of(arguments, "--error-target") == "https://hub.cluster:8081/hub/error"
    for option in ("api", "client"):
        for kind in ("key", "cert", "ca"):
            path = Path(value_of(arguments, f"--{option}-ssl-{kind}"))
            assert path.is_file()
            assert path.name.startswith(f"proxy-{option}")
        assert {f"--{option}-ssl-request-cert", f"--{option}-ssl-reject-unauthorized"} <= set(arguments)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_proxy_of_its_own_is_refused_where_the_hub_runs_one(
    site: Callable[..., Settings], state: State, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWOTVRE_STATE", "")  # what the command sets is undone after the test
    site()
    assert main(["proxy", "--state", str(state.root)], io.StringIO()) == 2
    assert "set 'proxy: {external: true}'" in capsys.readouterr().err


def test_a_proxy_that_is_not_installed_is_told(
    site: Callable[..., Settings], state: State, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWOTVRE_STATE", "")
    site(proxy={"external": True})
    assert main(["proxy", "--state", str(state.root)], io.StringIO()) == 2
    assert "the proxy is not installed" in capsys.readouterr().err
