"""Whom the programs of a session trust."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from swotvre_lab.authorities import VARIABLE, trust_gateway
from swotvre_lab.dask_jobs import ensure_certificate

COUNT = "import ssl; print(ssl.create_default_context().cert_store_stats()['x509'])"


@pytest.fixture
def authority(tmp_path: Path) -> str:
    text = ensure_certificate(tmp_path / "authority").read_text()
    return text[text.index("-----BEGIN CERTIFICATE") :]


def trusted(environment: dict[str, str]) -> int:
    """Return how many authorities a program of the session loads from files."""
    done = subprocess.run([sys.executable, "-c", COUNT], env=environment, capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_gateways_authority_is_added_to_those_that_the_site_names(tmp_path: Path, authority: str) -> None:
    site = tmp_path / "site.pem"
    other = ensure_certificate(tmp_path / "other").read_text()
    site.write_text(other[other.index("-----BEGIN CERTIFICATE") :])
    environment = {"XDG_DATA_HOME": str(tmp_path / "share"), "SSL_CERT_FILE": str(site), VARIABLE: authority}
    trust_gateway(environment)
    assert VARIABLE not in environment
    assert environment["SSL_CERT_FILE"] == str(tmp_path / "share/swot-vre/authorities.pem")
    assert trusted(environment) == 2
    context = ssl.create_default_context(cafile=environment["SSL_CERT_FILE"])
    context.load_verify_locations(cadata=authority)
    assert context.cert_store_stats()["x509"] == 2  # ours was there already


def test_authorities_of_the_system_stay(tmp_path: Path, authority: str) -> None:
    environment = {"XDG_DATA_HOME": str(tmp_path), VARIABLE: authority}
    before = trusted({})
    trust_gateway(environment)
    assert trusted(environment) >= before + 1


def test_without_a_gateway_nothing_is_changed_and_a_full_disk_ends_no_session(
    tmp_path: Path, authority: str, capsys: pytest.CaptureFixture[str]
) -> None:
    environment: dict[str, str] = {}
    trust_gateway(environment)
    assert environment == {}
    (tmp_path / "swot-vre").write_text("a file in the place of the folder")
    environment = {"XDG_DATA_HOME": str(tmp_path), VARIABLE: authority, "SSL_CERT_FILE": "/etc/site.pem"}
    trust_gateway(environment)
    assert environment["SSL_CERT_FILE"] == "/etc/site.pem"
    assert "Dask Gateway cannot be trusted" in capsys.readouterr().err
