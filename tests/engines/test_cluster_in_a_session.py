"""A cluster in one line, in a notebook of a session that is a job itself: nothing is told to it but by the session."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from batch_hub import PASSWORD, TOKEN, batch_hub
from cluster import USERS, BatchCluster
from dask_kernels import ACTIVE, NAME
from dask_site import PREFIX, DaskSite, site_settings
from playwright.sync_api import Page, expect

ADA, BOB = USERS
KERNELS = Path(__file__).parents[2] / "kernels"
CLUSTER = f"""
import sys
sys.path.insert(0, {str(KERNELS)!r})
import swotvre
cluster = swotvre.cluster(workers=2, timeout=300)
"""
COMPUTE = """
import json, os
total = sum(cluster.client.gather(cluster.client.map(lambda i: i * i, range(100))))
who = set(cluster.client.run(lambda: __import__("pwd").getpwuid(os.getuid()).pw_name).values())
listed = [one.name for one in swotvre.clusters()]
print(json.dumps({"total": total, "who": sorted(who), "listed": listed, "name": cluster.name,
                  "address": cluster.scheduler_address, "link": cluster.dashboard_link,
                  "versions": sorted(set(cluster.client.run(lambda: os.environ["OF_THE_KERNEL"]).values()))}))
"""


@pytest.fixture
def site(cluster: BatchCluster, lab_everywhere: Path, dask_kernels: Path) -> Iterator[DaskSite]:
    """Return a site in which ADA has a session."""
    settings, port = site_settings(dask_kernels)
    with batch_hub(cluster, lab_everywhere, settings=settings) as hub:
        found = DaskSite(hub, dask_kernels, port)
        found.wait_for_gateway()
        hub.start_session(ADA)
        yield found
        hub.end_all_sessions()
        hub.wait(lambda: not cluster.live_jobs(), "the jobs of the cluster to end", 120)


def test_a_notebook_of_a_session_has_a_cluster_in_one_line_and_its_dashboard(
    site: DaskSite, page: Page, tmp_path: Path
) -> None:
    from run_in_session import SessionKernel

    with closing(SessionKernel(f"{site.hub.url}user/{ADA}/", TOKEN, NAME)) as kernel:
        said = []
        for code in (CLUSTER, COMPUTE):
            for output in kernel.run(code):
                assert output.output_type != "error", "\n".join(output.traceback)
                said.append(output)
        answer = json.loads(said[-1].text.splitlines()[-1])
        assert answer["total"] == sum(i * i for i in range(100))
        assert (answer["who"], answer["versions"]) == ([ADA], [ACTIVE])
        assert answer["listed"] == [answer["name"]]
        assert answer["address"].startswith("gateway://")
        assert answer["link"] == f"{PREFIX}/clusters/{answer['name']}/status"
        link = f"{site.hub.url.rstrip('/')}{answer['link']}"
        assert _look(site, link, ADA) == (200, True)
        assert _look(site, link, BOB)[0] in {403, 404}
        _log_in(page, site)
        page.goto(link)
        # The plots come by the WebSocket, through the hub and, over TLS, from the node.
        expect(page.locator("body")).to_contain_text("Data Transfer")
        expect(page.locator("canvas").first).to_be_visible()
        page.screenshot(path=Path(os.environ.get("SWOTVRE_PICTURES_OF_TESTS", tmp_path)) / "dashboard.png")
        assert kernel.run("cluster.close()") == []


def _log_in(page: Page, site: DaskSite) -> None:
    page.goto(f"{site.hub.url}hub/login")
    page.get_by_label("User name").fill(ADA)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.locator("[type=submit]").click()
    page.wait_for_url(lambda url: "/hub/login" not in url)


def _look(site: DaskSite, link: str, user: str) -> tuple[int, bool]:
    """Return the status of a page for the token of a user, and whether it is Dask's."""
    token = site.environment(user)["JUPYTERHUB_API_TOKEN"]
    answer = httpx.get(link, headers={"Authorization": f"token {token}"}, follow_redirects=False, timeout=30)
    return answer.status_code, "Dask Diagnostic UI" in answer.text
