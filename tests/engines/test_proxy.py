"""The proxy is restarted, the hub is upgraded: sessions on nodes are not cut, or not for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from batch_hub import BatchHub
from cluster import USERS
from recorded_pbs_cluster import RecordedPbsCluster

ADA = USERS[0]


@contextmanager
def hub_with_own_proxy(cluster: RecordedPbsCluster, lab: Path, folder: Path) -> Iterator[BatchHub]:
    hub = BatchHub(cluster, folder, lab, settings={"proxy": {"external": True}})
    try:
        hub.start_proxy()
        yield hub.start()
    finally:
        hub.close()


def test_an_upgrade_of_the_hub_cuts_nobody(
    recorded_pbs: RecordedPbsCluster, lab_everywhere: Path, tmp_path: Path
) -> None:
    with hub_with_own_proxy(recorded_pbs, lab_everywhere, tmp_path) as hub:
        hub.start_session(ADA)
        answers: list[bool] = []
        is_over = threading.Event()

        def keep_asking() -> None:
            while not is_over.is_set():
                # Without a token: to know one that is new to it, a session asks the hub.
                answers.append(hub.is_reached(ADA))
                time.sleep(0.1)

        asking = threading.Thread(target=keep_asking)
        asking.start()
        hub.end()
        time.sleep(1)
        hub.start()
        is_over.set()
        asking.join()
        assert len(answers) > 10
        assert all(answers), f"{answers.count(False)} of {len(answers)} requests failed"


def test_a_proxy_of_its_own_that_is_restarted_gets_its_routes_back(
    recorded_pbs: RecordedPbsCluster, lab_everywhere: Path, tmp_path: Path
) -> None:
    with hub_with_own_proxy(recorded_pbs, lab_everywhere, tmp_path) as hub:
        hub.start_session(ADA)
        hub.end_proxy()
        assert not hub.answers(ADA)
        hub.start_proxy()
        hub.wait(lambda: hub.answers(ADA), "the session to be reached again", 40)


def test_a_proxy_of_the_hub_that_is_killed_is_replaced(
    recorded_pbs: RecordedPbsCluster, lab_everywhere: Path, tmp_path: Path
) -> None:
    hub = BatchHub(recorded_pbs, tmp_path, lab_everywhere)
    try:
        hub.start()
        hub.start_session(ADA)
        psutil.Process(int((hub.state / "run" / "proxy.pid").read_text())).kill()
        hub.wait(lambda: hub.answers(ADA), "the session to be reached again", 60)
    finally:
        hub.close()
