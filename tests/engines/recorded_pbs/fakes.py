"""Jobs of another account that are in every list and nowhere else, thousands of them."""

from __future__ import annotations

from collections.abc import Iterable

from .job import Job, run_comment
from .resources import Chunk, Request
from .site import Site

#: Stands for the number in what is printed once for all of them.
_PATTERN_NUMBER = 9_876_543_210
_REQUEST = Request((Chunk(1, 1, 1024 * 1024, None, None),), "1:ncpus=1:mem=1gb", "free", 3600)


def fake_jobs(numbers: Iterable[int], site: Site, owner: str, state: str, now: int) -> dict[int, Job]:
    """Return jobs that wait or run, by number."""
    pattern = _pattern(site, owner, state, now)
    return {number: pattern.renumbered(number) for number in numbers}


def _pattern(site: Site, owner: str, state: str, now: int) -> Job:
    path = f"{site.server}:/home/{owner}/fake"
    job = Job(
        number=_PATTERN_NUMBER,
        server=site.server,
        name="fake.pbs",
        owner=owner,
        uid=-1,
        queue=site.queues[0].name,
        request=_REQUEST,
        variables=[f"PBS_O_HOME=/home/{owner}", f"PBS_O_LOGNAME={owner}", f"PBS_O_QUEUE={site.queues[0].name}"],
        output_path=f"{path}.o{_PATTERN_NUMBER}",
        error_path=f"{path}.e{_PATTERN_NUMBER}",
        join="oe",
        keep="n",
        arguments="fake.pbs",
        ctime=now,
        etime=now,
        is_fake=True,
    )
    if state == "R":
        job.places = [(site.nodes[0].name, 0, 1, 1024 * 1024)]
        job.stime, job.run_count = now, 1
        job.comment = run_comment(job, now)
    else:
        job.comment = "Not Running: Not enough free nodes available"
    job.set_state(state, now)
    return job
