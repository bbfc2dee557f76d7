"""Settings of a batch site as JupyterHub's configuration, on a bare ``Config``."""

from __future__ import annotations

import os
import pwd
import re
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from swotvre_hub.configure import configure
from swotvre_hub.passwords import ensure_passwords, proxy_token_file
from swotvre_hub.port_report import PATH, PortReportHandler
from swotvre_hub.settings import Settings, load_settings, read_defaults
from swotvre_hub.spawner.local import LocalSpawner
from swotvre_hub.spawner.pbs import PbsSessionSpawner
from swotvre_hub.spawner.slurm import SlurmSessionSpawner
from swotvre_hub.state import State
from swotvre_hub.unix_groups import groups_of


@pytest.fixture
def state(tmp_path: Path) -> State:
    """Return a state folder as the first start leaves it."""
    state = State(tmp_path)
    state.run.mkdir()
    ensure_passwords(state)
    return state


def settings_of(engine: str = "pbs", **blocks: dict[str, Any]) -> Settings:
    """Return the settings of a complete site with some changes."""
    content: dict[str, Any] = {**read_defaults(), "engine": engine}
    complete = {"batch": {"hub_address": "hub.cluster", "lab": "/shared/lab"}, "auth": {"login": "pam"}}
    for name, changes in complete.items():
        content[name] = {**content[name], **changes}
    for name, changes in blocks.items():
        content[name] = {**content[name], **changes}
    return Settings.model_validate(content)


def configured(state: State, engine: str = "pbs", **blocks: dict[str, Any]) -> Config:
    c = Config()
    configure(c, settings_of(engine, **blocks), state)
    return c


@pytest.mark.parametrize(("engine", "spawner"), [("pbs", PbsSessionSpawner), ("slurm", SlurmSessionSpawner)])
def test_the_engine_decides_how_sessions_run_and_nothing_else_does(state: State, engine: str, spawner: type) -> None:
    c = configured(state, engine)
    assert c.JupyterHub.spawner_class is spawner
    other = configured(state, "slurm" if engine == "pbs" else "pbs")
    for mine, others in ((c, other), (other, c)):
        assert set(mine) == set(others)
    assert c.JupyterHub.hub_connect_url == other.JupyterHub.hub_connect_url


def test_hub_and_nodes_encrypt_what_they_say_unless_told_not_to(state: State) -> None:
    hub = configured(state).JupyterHub
    assert hub.internal_ssl is True
    assert hub.hub_bind_url == "https://0.0.0.0:8081"
    assert hub.hub_connect_url == "https://hub.cluster:8081"
    assert hub.internal_certs_location == str(state.run / "tls" / "hub.cluster")


def test_a_site_may_do_without_tls(state: State) -> None:
    c = configured(state, batch={"tls": False})
    assert c.JupyterHub.internal_ssl is False
    assert c.JupyterHub.hub_connect_url == "http://hub.cluster:8081"
    assert c.ConfigurableHTTPProxy.api_url.startswith("http://127.0.0.1:")


@pytest.mark.parametrize(("host", "name"), [("hub.cluster", "DNS:hub.cluster"), ("10.1.2.3", "IP:10.1.2.3")])
def test_the_certificate_of_the_hub_names_the_address_that_nodes_use(state: State, host: str, name: str) -> None:
    assert configured(state, batch={"hub_address": host}).JupyterHub.trusted_alt_names == [name]


def test_the_proxy_is_spoken_to_by_tls_on_this_machine_alone(state: State) -> None:
    assert configured(state).ConfigurableHTTPProxy.api_url.startswith("https://127.0.0.1:")


def test_a_hub_that_ends_leaves_sessions_to_the_scheduler(state: State) -> None:
    assert configured(state).JupyterHub.cleanup_servers is False


def test_the_proxy_of_the_hub_ends_with_it(state: State) -> None:
    c = configured(state)
    assert c.JupyterHub.cleanup_proxy is True
    assert "should_start" not in c.ConfigurableHTTPProxy


def test_a_proxy_of_its_own_is_neither_started_nor_ended_and_known_by_its_secret(state: State) -> None:
    c = configured(state, proxy={"external": True})
    assert c.JupyterHub.cleanup_proxy is False
    assert c.ConfigurableHTTPProxy.should_start is False
    assert c.ConfigurableHTTPProxy.auth_token == proxy_token_file(state).read_text().strip()
    assert proxy_token_file(state).stat().st_mode & 0o777 == 0o600


def test_the_secret_of_the_proxy_outlives_the_hub(state: State) -> None:
    tokens = {configured(state, proxy={"external": True}).ConfigurableHTTPProxy.auth_token for _ in range(2)}
    assert len(tokens) == 1


def test_who_waits_for_the_scheduler_keeps_nobody_else_from_starting(state: State) -> None:
    assert configured(state).JupyterHub.concurrent_spawn_limit == 0


def test_the_hub_looks_itself_once_a_minute(state: State) -> None:
    assert configured(state).Spawner.poll_interval == 60


def test_a_start_may_take_as_long_as_the_site_lets_it_wait(state: State) -> None:
    c = configured(state, scheduler={"waiting_hours": 2.5})
    assert c.Spawner.start_timeout >= 2.5 * 3600 + c.Spawner.http_timeout


@pytest.mark.parametrize(("per_user", "named", "limit"), [(1, False, 0), (2, True, 1), (5, True, 4)])
def test_a_user_has_as_many_sessions_as_the_settings_say(state: State, per_user: int, named: bool, limit: int) -> None:
    hub = configured(state, sessions={"per_user": per_user}).JupyterHub
    assert (hub.allow_named_servers, hub.named_server_limit_per_user) == (named, limit)


def test_the_handler_of_reports_takes_the_place_of_the_stock_one(state: State) -> None:
    configured(state)
    from jupyterhub.apihandlers import default_handlers

    assert [handler for path, handler, *_ in default_handlers if path == PATH] == [PortReportHandler]


def test_the_hub_leads_to_the_pages_of_the_gateway_and_nodes_reach_it_themselves(state: State) -> None:
    c = configured(state)
    assert [service["name"] for service in c.JupyterHub.services] == ["dask-gateway", "idle-sessions"]
    assert c.JupyterHub.services[0]["url"].startswith("http://127.0.0.1:")
    told = c.Spawner.environment
    assert told["DASK_GATEWAY__ADDRESS"] == "https://hub.cluster:8082/services/dask-gateway"
    assert told["DASK_GATEWAY__PROXY_ADDRESS"] == "gateway://hub.cluster:8082"
    plain = configured(state, batch={"tls": False}).Spawner.environment
    assert plain["DASK_GATEWAY__ADDRESS"] == "http://hub.cluster:8082/services/dask-gateway"


def test_the_watch_over_idle_sessions_knows_the_certificates_of_the_hub(state: State) -> None:
    _, service = configured(state).JupyterHub.services
    assert "--ssl-enabled=True" in service["command"]
    assert f"--internal-certs-location={state.run / 'tls' / 'hub.cluster'}" in service["command"]
    _, plain = configured(state, batch={"tls": False}).JupyterHub.services
    assert not any("ssl" in argument for argument in plain["command"])


def test_accounts_of_the_machine_log_in(state: State) -> None:
    c = configured(state, auth={"admins": ["ada"]})
    assert c.JupyterHub.authenticator_class == "pam"
    assert c.Authenticator.admin_users == {"ada"}
    assert c.PAMAuthenticator.open_sessions is False
    assert "InstallationPasswordAuthenticator" not in c


@pytest.mark.parametrize(("name", "fits"), [("ada", True), ("Ada", False), ("ada lovelace", False), ("xada;", False)])
def test_only_names_of_the_pattern_log_in(state: State, name: str, fits: bool) -> None:
    assert bool(re.match(configured(state).Authenticator.username_pattern, name)) is fits


def test_a_local_engine_is_configured_without_any_of_it(state: State) -> None:
    c = configured(state, "local", batch={}, auth={"login": "shared-password"})
    assert c.JupyterHub.spawner_class is LocalSpawner
    assert "internal_ssl" not in c.JupyterHub
    assert "trusted_alt_names" not in c.JupyterHub
    assert c.JupyterHub.cleanup_servers is True
    assert c.Spawner.poll_interval == 5
    assert c.Spawner.start_timeout == load_settings().sessions.start_timeout_seconds


def test_configuring_twice_gives_the_same(state: State) -> None:
    def plain(c: Config) -> dict[str, dict[str, Any]]:
        # Filters of templates are functions, made anew each time.
        return {
            name: {key: value for key, value in block.items() if "template" not in key} for name, block in c.items()
        }

    assert plain(configured(state)) == plain(configured(state))


# -- groups of an account --------------------------------------------------------------------------------------------


def test_an_account_is_a_member_of_its_own_group() -> None:
    account = pwd.getpwuid(os.geteuid())
    names = groups_of(account.pw_name)
    assert names
    assert all(isinstance(name, str) and name for name in names)


@pytest.mark.skipif(os.geteuid() != 0, reason="only of root is it known which group it is in")
def test_root_is_in_the_group_root() -> None:
    assert "root" in groups_of("root")


@pytest.mark.parametrize("name", ["no-such-account-here", "", "x" * 5000, "a/b", "$(id)"])
def test_an_account_that_is_not_there_is_in_no_group(name: str) -> None:
    assert groups_of(name) == frozenset()


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_a_name_that_no_account_can_have_is_in_no_group(name: str) -> None:
    assert groups_of(name) == frozenset()
