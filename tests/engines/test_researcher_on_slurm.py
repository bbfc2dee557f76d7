"""A researcher's browser on a real Slurm: the cluster is full, why and where one stands, cancel, start, the end."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from batch_hub import PASSWORD, BatchHub, batch_hub
from cluster import USERS
from playwright.sync_api import Page, expect
from slurm_cluster import SlurmCluster

ADA = USERS[0]
#: One minute is the shortest duration that Slurm knows.
CHOICES = {"walltime_choices_hours": [1 / 60, 1], "default_walltime_hours": 1 / 60}


@pytest.fixture(scope="module")
def hub(slurm_cluster: SlurmCluster, lab_everywhere: Path) -> Iterator[BatchHub]:
    if os.geteuid() != 0:
        pytest.skip("only root can make the accounts that sessions run as")
    with batch_hub(slurm_cluster, lab_everywhere, settings={"sessions": CHOICES}) as hub:
        yield hub


@pytest.fixture
def pictures() -> Path | None:
    """Return the folder for pictures of what was seen, when somebody wants them."""
    folder = os.environ.get("SWOTVRE_PICTURES_OF_TESTS")
    return Path(folder) if folder else None


def log_in(page: Page, hub: BatchHub) -> None:
    page.goto(f"{hub.url}hub/spawn")
    page.get_by_label("User name").fill(ADA)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.locator("[type=submit]").click()
    page.wait_for_url("**/hub/spawn")


def choose_and_start(page: Page) -> None:
    page.locator(".vre-card", has_text="Small").click()
    page.locator("label.vre-duration", has_text="1 minute").click()
    page.get_by_role("button", name="Start session", exact=True).click()


@pytest.mark.timeout(600)
def test_full_cluster_reason_place_cancel_start_and_the_end_by_walltime(
    page: Page, hub: BatchHub, slurm_cluster: SlurmCluster, pictures: Path | None
) -> None:
    def look(name: str) -> None:
        if pictures:
            page.screenshot(path=pictures / f"{name}.png", full_page=True)

    log_in(page, hub)
    expect(page.locator(".vre-card", has_text="Small")).to_contain_text("Starts now")
    expect(page.locator(".vre-card", has_text="Giant")).to_contain_text("Does not fit any node")
    look("launch-free")

    with slurm_cluster.filled():
        page.wait_for_timeout(1500)  # what is known of the cluster is asked anew after a second
        page.reload()
        expect(page.locator(".vre-card", has_text="Small")).not_to_contain_text("Starts now")
        look("launch-full")
        choose_and_start(page)
        page.wait_for_url("**/spawn-pending/**")
        expect(page.locator("#pending")).to_contain_text("Waiting for", timeout=30_000)
        expect(page.locator("#pending")).to_contain_text(re.compile(r"\d+ of \d+ waiting"))
        look("pending")
        page.reload()  # the page may be closed and opened again
        expect(page.locator("#pending")).to_contain_text("Waiting for", timeout=30_000)
        page.get_by_role("button", name="Cancel the start").click()
        page.wait_for_url("**/hub/home", timeout=60_000)
        look("cancelled")
        hub.wait(lambda: not hub.job(ADA), "the job to be cancelled")

    page.goto(f"{hub.url}hub/spawn")
    expect(page.locator("body")).to_contain_text("you asked for it")
    choose_and_start(page)
    page.wait_for_url(f"**/user/{ADA}/lab**", timeout=120_000)
    hub.wait(lambda: not hub.server(ADA), "the walltime to be over", 180)

    page.goto(f"{hub.url}hub/home")
    expect(page.locator("body")).to_contain_text("its duration was over")
    expect(page.locator("body")).to_contain_text("Small: 1 core, 1 GiB")
    look("home-after-walltime")
    page.goto(f"{hub.url}hub/spawn")
    expect(page.locator("body")).to_contain_text("its duration was over")
    expect(page.get_by_role("button", name="Start again with the same choice")).to_be_visible()
    look("launch-after-walltime")
