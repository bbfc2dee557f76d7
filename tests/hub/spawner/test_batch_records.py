"""What is kept of batch sessions: whole or not at all, found again by the next hub, and no secret in it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swotvre_hub.spawner.batch_records import BatchJob, BatchRecords
from swotvre_hub.state import State

JOB = BatchJob(
    session_id="0123456789abcdef",
    user_name="ada",
    server_name="",
    engine="pbs",
    size="small",
    walltime_seconds=3600,
    submitted_at=1000.5,
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FIELDS = list(JOB.to_json())


@pytest.fixture
def records(tmp_path: Path) -> BatchRecords:
    return BatchRecords(State(tmp_path))


def test_what_was_saved_is_found_by_the_next_hub(records: BatchRecords, tmp_path: Path) -> None:
    job = JOB.changed(job_id="1.head", port=20001, host="n1", started_at=2000.0, is_up=True)
    records.save(JOB)
    records.save(job)
    assert list(BatchRecords(State(tmp_path)).all()) == [job]


def test_nothing_is_kept_before_the_first_session(records: BatchRecords) -> None:
    assert list(records.all()) == []


def test_a_session_that_is_over_is_forgotten_and_may_be_forgotten_twice(records: BatchRecords) -> None:
    records.save(JOB)
    records.remove(JOB.session_id)
    records.remove(JOB.session_id)
    assert list(records.all()) == []


@pytest.mark.parametrize("server_name", ["", "a b", "ü/../$()'\"", "x" * 300])
def test_the_sessions_of_one_name_are_found_whatever_the_name_is(records: BatchRecords, server_name: str) -> None:
    other = JOB.changed(session_id="f" * 16, server_name="other")
    mine = JOB.changed(server_name=server_name)
    records.save(other)
    records.save(mine)
    assert list(records.of("ada", server_name)) == [mine]
    assert list(records.of("bob", server_name)) == []


def test_only_the_account_of_the_hub_may_look_in(records: BatchRecords) -> None:
    records.save(JOB)
    assert records.folder.stat().st_mode & 0o777 == 0o700


def test_the_name_of_a_job_is_one_that_schedulers_take() -> None:
    assert JOB.job_name == "vre-0123456789abcdef"


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"null", b"[]", b'{"session_id": "0123456789abcdef"}', b"\xff\xfe", b'{"a": ' + b"1" * 5000 + b"}"],
    ids=["empty", "cut", "null", "list", "incomplete", "binary", "number"],
)
def test_a_damaged_record_hides_no_other(records: BatchRecords, content: bytes) -> None:
    records.save(JOB.changed(session_id="f" * 16))
    (records.folder / f"{JOB.session_id}.json").write_bytes(content)
    assert [job.session_id for job in records.all()] == ["f" * 16]


def test_a_record_that_nobody_may_read_hides_no_other(records: BatchRecords) -> None:
    records.save(JOB)
    (records.folder / "a.json").symlink_to(records.folder / "nowhere")
    (records.folder / "b.json").mkdir()
    assert list(records.all()) == [JOB]


@given(content=VALUES | st.dictionaries(st.sampled_from(FIELDS) | st.text(), VALUES))
def test_anything_is_a_job_or_none(content: object) -> None:
    job = BatchJob.from_json(content)
    assert job is None or len(job.session_id) == 16


@pytest.mark.parametrize("value", [None, 1, {"a": []}])
def test_a_record_of_a_later_hub_is_read_as_far_as_it_is_known(value: object) -> None:
    assert BatchJob.from_json({**JOB.to_json(), "of_a_later_hub": value}) == JOB


def test_a_record_of_an_earlier_hub_is_completed() -> None:
    assert BatchJob.from_json({key: JOB.to_json()[key] for key in FIELDS[:7]}) == JOB


@pytest.mark.parametrize("session_id", ["", "0123456789ABCDEF", "../../../etc/pass", "0123456789abcdef0", 5, None])
def test_an_id_that_names_another_file_is_no_job(session_id: object) -> None:
    assert BatchJob.from_json({**JOB.to_json(), "session_id": session_id}) is None


@pytest.mark.parametrize("name", ["walltime_seconds", "submitted_at", "port", "started_at", "job_id", "is_unwanted"])
def test_a_record_whose_field_has_another_type_is_no_job(name: str) -> None:
    assert BatchJob.from_json({**JOB.to_json(), name: ["1"]}) is None


def test_a_record_holds_neither_token_nor_environment() -> None:
    assert not {"token", "api_token", "environment", "env", "script", "key"} & set(JOB.to_json())


def test_a_record_is_replaced_as_a_whole(records: BatchRecords) -> None:
    records.save(JOB)
    with (records.folder / f"{JOB.session_id}.json").open(encoding="ascii") as stream:
        records.save(JOB.changed(job_id="1.head"))
        assert BatchJob.from_json(json.load(stream)) == JOB  # what is being read does not change
    assert [path.name for path in records.folder.iterdir()] == [f"{JOB.session_id}.json"]


def test_a_hub_killed_while_it_writes_leaves_a_record_that_is_whole(records: BatchRecords, tmp_path: Path) -> None:
    records.save(JOB)
    code = (
        "import sys; from pathlib import Path; from swotvre_hub.state import State\n"
        "from swotvre_hub.spawner.batch_records import BatchJob, BatchRecords\n"
        "job = BatchJob.from_json(__import__('json').loads(sys.argv[2]))\n"
        "records = BatchRecords(State(Path(sys.argv[1])))\n"
        "print(flush=True)\n"
        "while True:\n    records.save(job.changed(log='x' * 50000)); records.save(job)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path), json.dumps(JOB.to_json())]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            found = [len(list(records.all())) for _ in range(50)]
        finally:
            process.kill()
    assert set(found) == {1}
    assert len(list(records.all())) == 1
