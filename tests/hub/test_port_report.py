"""A session tells its port, an integer of the site's range, and nothing else."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jupyterhub.apihandlers import default_handlers

from swotvre_hub.port_report import PATH, PortReportHandler, ReportError, digest_token, install_handler, parse_report

PORTS = range(20000, 20010)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("port", [20000, 20009])
def test_a_port_of_the_range_is_taken(port: int) -> None:
    assert parse_report(json.dumps({"port": port}).encode(), PORTS) == port


@pytest.mark.parametrize(
    "port", [19999, 20010, 0, -1, 22, 20000.0, "20000", True, None, [20000], {"port": 20000}, 10**400]
)
def test_any_other_port_is_refused_with_the_range(port: object) -> None:
    with pytest.raises(ReportError, match="N from 20000 to 20009"):
        parse_report(json.dumps({"port": port}).encode(), PORTS)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"port": 20000, "cmd": "reboot"},
        {"port": 20000, "batch_submit_cmd": ["sh"]},
        {"Port": 20000},
        [20000],
        20000,
        "port",
        None,
    ],
)
def test_any_other_key_is_refused(content: object) -> None:
    with pytest.raises(ReportError, match="received other keys"):
        parse_report(json.dumps(content).encode(), PORTS)


@pytest.mark.parametrize("body", [b"", b"{", b"port=20000", b"\xff\xfe\x00", b"[" * 900, b"\0", b'{"port": NaN'])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(ReportError, match="not JSON"):
        parse_report(body, PORTS)


def test_what_follows_after_many_bytes_is_not_accepted_unseen() -> None:
    with pytest.raises(ReportError):
        parse_report(b'{"port": 20000}' + b" " * 985 + b"and anything else", PORTS)


@given(body=st.binary(max_size=60) | VALUES.map(lambda value: json.dumps(value).encode()))
@example(body=b'{"port": 20000.0}')
@example(body=b'{"port": 1e400}')
def test_any_body_is_a_port_or_a_refusal(body: bytes) -> None:
    try:
        port = parse_report(body, PORTS)
    except ReportError as error:
        assert "expected" in str(error)
    else:
        assert port in PORTS


@given(
    content=st.dictionaries(st.sampled_from(["port", "ip", "cmd"]), VALUES | st.sampled_from(list(PORTS)), max_size=2)
)
def test_a_report_is_taken_exactly_when_it_is_a_port_alone(content: dict[str, object]) -> None:
    port = content.get("port")
    is_good = set(content) == {"port"} and type(port) is int and port in PORTS
    try:
        taken = parse_report(json.dumps(content).encode(), PORTS)
    except ReportError:
        assert not is_good
    else:
        assert is_good
        assert taken == port


def test_what_is_kept_of_a_token_is_not_the_token() -> None:
    assert "secret" not in digest_token("secret")
    assert digest_token("secret") != digest_token("secret ")


def test_the_handler_takes_the_place_of_the_one_that_sets_any_attribute(monkeypatch: pytest.MonkeyPatch) -> None:
    import batchspawner.api  # adds its own

    before = [*default_handlers, (PATH, batchspawner.api.BatchSpawnerAPIHandler)]
    monkeypatch.setattr("swotvre_hub.port_report.default_handlers", before)
    install_handler()
    install_handler()
    assert [handler for path, handler, *_ in before if path == PATH] == [PortReportHandler]
