"""What the environment of a session says."""

from datetime import UTC, datetime

import pytest

from swotvre_lab.session import SessionEnvironmentError, describe_nothing, read_session


def test_environment_of_the_spawner_is_read():
    session = read_session(
        {
            "SWOTVRE_SIZE": "large",
            "CPU_LIMIT": "8.0",
            "MEM_LIMIT": str(64 * 2**30),
            "SWOTVRE_SESSION_END": "2026-11-21T20:00:00+02:00",
            "SWOTVRE_IDLE_TIMEOUT_SECONDS": "3600",
            "SWOTVRE_IDLE_WARNING_SECONDS": "300",
        }
    )
    assert (session.size, session.cores, session.memory_gib) == ("large", 8.0, 64.0)
    assert session.ends_at == datetime(2026, 11, 21, 18, tzinfo=UTC)
    assert (session.idle_timeout_seconds, session.idle_warning_seconds) == (3600, 300)


def test_empty_environment_is_a_session_without_limits():
    session = describe_nothing()
    assert session.title == "session"
    assert session.ends_at is None
    assert session.idle_timeout_seconds is None


def test_idle_timeout_of_zero_means_never():
    assert read_session({"SWOTVRE_IDLE_TIMEOUT_SECONDS": "0"}).idle_timeout_seconds is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("CPU_LIMIT", "four"),
        ("CPU_LIMIT", "-1"),
        ("MEM_LIMIT", "32G"),
        ("MEM_LIMIT", "inf"),
        ("SWOTVRE_IDLE_TIMEOUT_SECONDS", "nan"),
        ("SWOTVRE_SESSION_END", "soon"),
        ("SWOTVRE_SESSION_END", "2026-11-21T20:00:00"),
    ],
)
def test_wrong_value_is_named(name: str, text: str):
    with pytest.raises(SessionEnvironmentError, match=f"{name} is '{text}'.*expected"):
        read_session({name: text})
