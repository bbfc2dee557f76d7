"""Whatever a scheduler prints, in whatever order: the questions go on, and no job ends unless an answer said so."""

from __future__ import annotations

import asyncio
import json
import logging
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from swotvre_hub.batch_commands import CommandRunner
from swotvre_hub.engines.base import CommandResult, EndCause, JobState, SchedulerUnavailableError
from swotvre_hub.engines.pbs import PbsEngine
from swotvre_hub.reflector import Reflector
from swotvre_hub.settings import load_settings

JOBS = ["1.head", "2.head"]
SCHEDULER = load_settings().scheduler.model_copy(
    update={"starting_query_seconds": 0.001, "query_seconds": 0.002, "command_timeout_seconds": 0.2}
)
#: Prints the answers of a folder one after the other, then again and again that both jobs run.
PROGRAM = """#!/bin/sh
cd {folder}
read number < asked; echo $((number + 1)) > asked
[ -e $number.hang ] && exec sleep 60
[ -e $number.code ] || {{ cat last; exit 0; }}
read code < $number.code; cat $number.err >&2; exec 2>&-
[ -s $number.out ] && cat $number.out
exit $code
"""
RUNNING = json.dumps({"Jobs": {job_id: {"job_state": "R", "substate": 42} for job_id in JOBS}})

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
GOOD = st.dictionaries(
    st.sampled_from([*JOBS, "1.head.site.fr", "3.head"]),
    st.fixed_dictionaries(
        {"job_state": st.sampled_from("QQHRRRSEF") | VALUES},
        optional={"substate": st.integers(0, 100) | VALUES, "Exit_status": st.integers(-40, 300) | VALUES},
    ),
).map(lambda jobs: json.dumps({"Jobs": jobs}))
OUTPUTS = st.one_of(
    GOOD,
    st.builds(lambda text, share: text[: int(len(text) * share)], GOOD, st.floats(0, 1)),
    VALUES.map(lambda value: json.dumps({"Jobs": value})),
    VALUES.map(json.dumps),
    st.text(max_size=30),
)
ERRORS = st.sampled_from(
    ["", "", "", "qstat: Unknown Job Id 1.head", "qstat: Unknown Job Id 2.head", "cannot connect to server head", "?"]
)
SPOKEN = st.tuples(OUTPUTS, ERRORS, st.sampled_from([0, 0, 0, 1, 35, 153, 162, 255]))
#: None: it hangs.
ANSWERS = st.one_of(*[SPOKEN] * 7, st.none())
FORGOTTEN = ("", "qstat: Unknown Job Id 1.head", 153)
JUMPS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(answers=st.lists(ANSWERS, min_size=1, max_size=6), jumps=JUMPS)
@example(answers=[FORGOTTEN], jumps=[0.0])
@example(answers=[None, FORGOTTEN, None, FORGOTTEN], jumps=[-100.0, 1e6])
def test_no_answer_stops_the_questions_and_none_but_an_end_ends_a_job(
    answers: list[tuple[str, str, int] | None], jumps: list[float]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder, answers)
        ends = asyncio.run(_ask_until_told(folder, len(answers), jumps))
    for job_id in JOBS:
        assert ends.count(job_id) <= 1
        if job_id in ends:
            assert _says_ended(answers, job_id)


def test_an_end_that_a_listener_cannot_take_stops_no_question() -> None:
    def listen() -> None:
        raise RuntimeError("a listener's own mistake")

    async def ask(folder: Path) -> JobState | None:
        reflector = _reflector(folder, lambda: 0.0)
        reflector.watch("1.head", listen)
        try:
            return await _state_when_told(reflector, "2.head")
        finally:
            await reflector.stop()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder, [(json.dumps({"Jobs": {"1.head": {"job_state": "F"}}}), "", 0)])
        assert asyncio.run(ask(folder)) is JobState.RUNNING


def test_an_id_that_no_scheduler_gives_leaves_the_others_known() -> None:
    async def ask(folder: Path) -> JobState | None:
        reflector = _reflector(folder, lambda: 0.0)
        reflector.watch("-x no id")
        try:
            return await _state_when_told(reflector, "2.head")
        finally:
            await reflector.stop()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder, [])
        assert asyncio.run(ask(folder)) is JobState.RUNNING


async def _ask_until_told(folder: Path, count: int, jumps: list[float]) -> list[str]:
    """Ask until all answers were used and a good one was taken after them; return the jobs whose end was told."""
    ends: list[str] = []
    times = [0.0]

    def clock() -> float:
        times.append(times[-1] + jumps[len(times) % len(jumps)])
        return times[-1]

    reflector = _reflector(folder, clock)
    for job_id in JOBS:
        reflector.watch(job_id, lambda job_id=job_id: ends.append(job_id))  # type: ignore[misc]
    try:
        async with asyncio.timeout(20):
            while int((folder / "asked").read_text() or 0) <= count + 1:
                await reflector.wait_for_news(1)
            while any(_state(reflector, job_id) is not JobState.RUNNING for job_id in JOBS):
                await reflector.wait_for_news(1)
        assert reflector.look(JOBS[0]).trouble is None
    finally:
        await reflector.stop()
    return ends


async def _state_when_told(reflector: Reflector, job_id: str) -> JobState | None:
    reflector.watch(job_id)
    for _ in range(4):
        await reflector.wait_for_news(0.2)
    return _state(reflector, job_id)


def _state(reflector: Reflector, job_id: str) -> JobState | None:
    status = reflector.look(job_id).status
    return None if status is None else status.state


def _reflector(folder: Path, clock: object) -> Reflector:
    runner = CommandRunner(SCHEDULER.command_timeout_seconds)
    log = logging.getLogger("fuzz")
    log.setLevel(logging.CRITICAL)
    return Reflector(PbsEngine(folder), runner, SCHEDULER, log, clock)  # type: ignore[arg-type]


def _write(folder: Path, answers: list[tuple[str, str, int] | None]) -> None:
    for name in ("qstat", "qselect"):
        (folder / name).write_text(PROGRAM.format(folder=folder) if name == "qstat" else "#!/bin/sh\necho 1.head\n")
        (folder / name).chmod(0o755)
    (folder / "asked").write_text("0\n")
    (folder / "last").write_text(RUNNING)
    for number, answer in enumerate(answers):
        if answer is None:
            (folder / f"{number}.hang").touch()
            continue
        (folder / f"{number}.out").write_text(answer[0], encoding="utf-8", errors="replace")
        (folder / f"{number}.err").write_text(answer[1])
        (folder / f"{number}.code").write_text(f"{answer[2]}\n")


def _says_ended(answers: list[tuple[str, str, int] | None], job_id: str) -> bool:
    """Return whether an answer, or two of a scheduler that forgot, say that a job has ended."""
    forgotten = 0
    for answer in answers:
        if answer is None:
            continue
        for asked in (JOBS, [job_id]):
            try:
                found = PbsEngine().parse_status(CommandResult((), answer[2], answer[0], answer[1]), asked)
            except SchedulerUnavailableError:
                continue
            status = found.get(job_id)
            if status is None or status.end is None:
                continue
            if status.end.cause is not EndCause.FORGOTTEN:
                return True
            forgotten += 1
            break
    return forgotten >= 2
