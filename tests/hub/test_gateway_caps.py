"""Caps on what the Dask clusters of a user, and of a project, take together."""

from __future__ import annotations

from dataclasses import replace

from swotvre_hub.gateway_caps import ClusterUse, judge
from swotvre_hub.settings import Cap, Caps

#: Workers of 4 cores and 32 GiB, a scheduler of 1 core and 2 GiB.
MEDIUM = ClusterUse("one", "ada", "ocean", 4, 32, 1, 2, workers=0)


def test_what_fits_is_granted_without_words() -> None:
    verdict = judge(replace(MEDIUM, workers=3), [], Caps(user=Cap(cores=13)))
    assert (verdict.workers, verdict.reason) == (3, "")


def test_what_is_used_free_and_asked_for_is_told() -> None:
    other = replace(MEDIUM, name="two", workers=2)
    verdict = judge(replace(MEDIUM, workers=3), [other], Caps(user=Cap(cores=16)))
    assert verdict.workers == 1
    assert verdict.reason == (
        "a cluster with 3 workers asks for 13 cores; the Dask clusters of ada may have 16 cores in all, of which 9 are "
        "used by other clusters and 7 are free: at most 1 worker of this size"
    )


def test_a_scheduler_alone_may_be_too_much() -> None:
    other = replace(MEDIUM, name="two", workers=2)
    verdict = judge(replace(MEDIUM, workers=0), [other], Caps(user=Cap(cores=9)))
    assert verdict.workers == -1
    assert "0 are free" in verdict.reason


def test_the_cluster_itself_is_not_counted_twice() -> None:
    assert judge(replace(MEDIUM, workers=3), [replace(MEDIUM, workers=2)], Caps(user=Cap(cores=13))).workers == 3


def test_the_tightest_cap_counts() -> None:
    caps = Caps(user=Cap(cores=100, memory_gib=100), project=Cap(cores=10))
    verdict = judge(replace(MEDIUM, workers=5), [], caps)
    assert verdict.workers == 2
    assert "the Dask clusters of project ocean may have 10 cores" in verdict.reason
    verdict = judge(replace(MEDIUM, workers=5, project=""), [], caps)
    assert verdict.workers == 3
    assert "100 GiB of memory in all" in verdict.reason


def test_a_project_is_shared_by_its_users_and_a_user_by_his_projects() -> None:
    caps = Caps(user=Cap(cores=9), project=Cap(cores=9))
    colleague = replace(MEDIUM, name="two", user_name="bob", workers=1)
    assert judge(replace(MEDIUM, workers=2), [colleague], caps).workers == 0
    elsewhere = replace(MEDIUM, name="three", project="ice", workers=1)
    assert judge(replace(MEDIUM, workers=2), [elsewhere], caps).workers == 0
    stranger = replace(MEDIUM, name="four", user_name="bob", project="ice", workers=9)
    assert judge(replace(MEDIUM, workers=2), [stranger], caps).workers == 2
