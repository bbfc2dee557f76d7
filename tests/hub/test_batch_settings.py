"""The settings of a batch site: complete before the hub starts, and nothing in them that a shell or a node minds."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from swotvre_hub.batch_settings import Batch, Queues, Scheduler
from swotvre_hub.cli import main
from swotvre_hub.settings import examine_settings, load_settings, read_defaults

DEFAULTS = read_defaults()
#: What a site has to say beside its engine.
COMPLETE: dict[str, dict[str, Any]] = {
    "batch": {"hub_address": "hub.cluster", "lab": "/shared/lab"},
    "auth": {"login": "pam"},
}


def batch(**changes: object) -> Batch:
    return Batch.model_validate({**DEFAULTS["batch"], **changes})


def queues(**changes: object) -> Queues:
    return Queues.model_validate({**DEFAULTS["queues"], **changes})


def site(folder: Path, engine: str = "pbs", **blocks: dict[str, Any]) -> Path:
    """Write the settings of a site whose blocks differ from the default ones; of a complete one unless told."""
    content: dict[str, Any] = {"engine": engine}
    for name, changes in {**COMPLETE, **blocks}.items():
        content[name] = {**DEFAULTS[name], **changes}
    path = folder / "vre.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("engine", ["pbs", "slurm"])
def test_a_site_is_connected_by_four_keys(tmp_path: Path, engine: str) -> None:
    settings = load_settings(site(tmp_path, engine))
    assert settings.is_batch
    assert settings.uses_tls  # on by default
    assert settings.has_gateway


@pytest.mark.parametrize("port", [8081, 8000])
def test_the_gateway_needs_a_port_of_its_own(tmp_path: Path, port: int) -> None:
    settings, problems = examine_settings(site(tmp_path, gateway={"port": port}))
    assert settings is None
    assert f"gateway.port of its own, not {port}" in str(problems[0])


@pytest.mark.parametrize("engine", ["pbs", "slurm"])
def test_a_batch_engine_needs_an_address_that_nodes_reach(tmp_path: Path, engine: str) -> None:
    settings, problems = examine_settings(site(tmp_path, engine, batch={"lab": "/shared/lab"}))
    assert settings is None
    assert f"batch.hub_address, by which nodes reach this machine, because engine is '{engine}'" in problems[0].expected


@pytest.mark.parametrize("engine", ["pbs", "slurm"])
def test_a_batch_engine_needs_a_session_environment_that_nodes_reach(tmp_path: Path, engine: str) -> None:
    settings, problems = examine_settings(site(tmp_path, engine, batch={"hub_address": "hub.cluster"}))
    assert settings is None
    assert "batch.lab, which 'swot-vre session-environment FOLDER' makes" in problems[0].expected


@pytest.mark.parametrize("engine", ["pbs", "slurm"])
def test_a_batch_engine_lets_nobody_in_by_a_shared_password(tmp_path: Path, engine: str) -> None:
    settings, problems = examine_settings(site(tmp_path, engine, auth={}))
    assert settings is None
    assert "auth.login 'pam'" in problems[0].expected


def test_a_local_engine_cannot_share_gpus_out(tmp_path: Path) -> None:
    sizes = {"small": {**DEFAULTS["sizes"]["small"], "gpus": 1}}
    assert examine_settings(site(tmp_path, "local", sizes=sizes))[0] is None
    assert load_settings(site(tmp_path, "pbs", sizes=sizes)).sizes["small"].gpus == 1


def test_a_local_engine_needs_nothing_of_a_batch_system(tmp_path: Path) -> None:
    settings = load_settings(site(tmp_path, "local", batch={}, auth={}))
    assert (settings.is_batch, settings.uses_tls, settings.has_gateway) == (False, False, True)


def test_check_names_the_engine_of_a_good_file(tmp_path: Path) -> None:
    out = io.StringIO()
    assert main(["check", str(site(tmp_path, "slurm"))], out) == 0
    assert "is good: engine slurm" in out.getvalue()


def test_check_tells_every_fault_of_the_batch_blocks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = site(
        tmp_path,
        batch={"ports": "80-90", "commands": "bin", "hub_address": "hub one", "hub_port": 0, "tls": "yes"},
        scheduler={"query_seconds": 0, "waiting_hours": float("nan"), "log_days": 0.5},
        queues={"offer": ["-q"], "projects": "all", "project_pattern": "("},
        proxy={"external": 1},
    )
    assert main(["check", str(path)], io.StringIO()) == 2
    message = capsys.readouterr().err
    for key in (
        *("batch.ports", "batch.commands", "batch.hub_address", "batch.hub_port", "batch.tls"),
        *("scheduler.query_seconds", "scheduler.waiting_hours", "scheduler.log_days"),
        *("queues.offer.0", "queues.projects", "queues.project_pattern", "proxy.external"),
    ):
        assert f"key:      {key}\n" in message
    assert message.startswith("swot-vre: 12 faults in ")


@pytest.mark.parametrize(
    ("ports", "first", "last"), [("20000-29999", 20000, 29999), ("1024-1024", 1024, 1024), ("1024-65535", 1024, 65535)]
)
def test_a_range_of_ports_holds_both_ends(ports: str, first: int, last: int) -> None:
    assert (batch(ports=ports).port_range[0], batch(ports=ports).port_range[-1]) == (first, last)


@pytest.mark.parametrize(
    "ports", ["", "20000", "20000-", "29999-20000", "1023-2000", "2000-65536", "2000-3000-", " 2000-3000", 2000]
)
def test_what_is_no_range_of_ports_is_refused(ports: object) -> None:
    with pytest.raises(ValidationError):
        batch(ports=ports)


@given(ports=st.from_regex(r"\d{4,5}-\d{4,5}", fullmatch=True) | st.text(max_size=12))
def test_any_text_is_a_range_of_ports_or_refused(ports: str) -> None:
    try:
        found = batch(ports=ports).port_range
    except ValidationError:
        return
    assert 1024 <= found[0] <= found[-1] <= 65535


@pytest.mark.parametrize("host", ["hub", "hub-1.cluster.example", "10.1.2.3", ""])
def test_a_host_is_a_name_or_an_address(host: str) -> None:
    assert batch(hub_address=host).hub_address == host


@pytest.mark.parametrize(
    "host", ["hub one", "-hub", "hub-", ".hub", "hub/x", "http://hub", "hub:8000", "hüb", "a" * 254, "hub\n", "$(id)"]
)
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(ValidationError, match="a host name or an IPv4 address"):
        batch(hub_address=host)


@pytest.mark.parametrize("name", ["workq", "gpu.long", "a+b@c_d-e", "9"])
def test_a_name_that_schedulers_take_may_be_offered(name: str) -> None:
    assert queues(offer=[name]).offer == (name,)


@pytest.mark.parametrize("name", ["", "-q", "a b", "a\n", "a,b", "$(id)", "é", "a" * 61, "a;b", "a'b"])
def test_a_name_that_no_scheduler_takes_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        queues(offer=[name])


@pytest.mark.parametrize("key", ["commands", "lab"])
@pytest.mark.parametrize("path", ["opt/pbs", "~/pbs", "./pbs", "/opt\n/pbs"])
def test_a_folder_is_absolute(key: str, path: str) -> None:
    with pytest.raises(ValidationError):
        batch(**{key: path})


def test_sessions_run_by_the_interpreter_of_their_environment() -> None:
    assert batch(lab="/shared/lab").lab_python == Path("/shared/lab/bin/python")


def test_projects_are_the_groups_that_match_as_a_whole() -> None:
    found = queues(projects="groups", project_pattern="swot.*").matching_projects(["swot1", "aswot", "users", "swot"])
    assert found == ("swot", "swot1")


def test_a_group_whose_name_no_scheduler_takes_is_no_project() -> None:
    found = queues(projects="groups").matching_projects(["domain users", "-x", "$(id)", "good", "a\n"])
    assert found == ("good",)


def test_without_projects_no_group_is_one() -> None:
    assert queues().matching_projects(["swot"]) == ()


@pytest.mark.parametrize("key", ["query_seconds", "command_timeout_seconds", "waiting_hours"])
@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan"), 10**9, "10", True])
def test_a_time_is_a_positive_number_within_reason(key: str, value: object) -> None:
    with pytest.raises(ValidationError):
        Scheduler.model_validate({**DEFAULTS["scheduler"], key: value})
