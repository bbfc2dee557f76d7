"""A researcher's way: log in, choose a size, start, open the first tutorial, run all, see the figures, stop."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from researcher import (
    COLOURS_OF_A_SWATH,
    COUNT_COLOURS,
    bring_into_view,
    errors_of,
    log_in,
    start_session,
    wait_for_kernel,
)

from swotvre_hub.trial import Trial

USER = "maria"
NOTEBOOK = "01_open_a_swot_product.ipynb"
#: All cells: imports, a figure, a cluster.
RUN_ALL_MILLISECONDS = 240_000

#: Every code cell has a number: none is waiting (``[*]``) or empty (``[ ]``).
ALL_DONE = """
() => {
  const prompts = [...document.querySelectorAll('.jp-NotebookPanel .jp-CodeCell .jp-InputPrompt')];
  return prompts.length > 5 && prompts.every(prompt => /\\[\\d+\\]/.test(prompt.textContent));
}
"""


def test_nobody_gets_in_without_the_password(page: Page, hub: Trial) -> None:
    log_in(page, hub, USER, password="not the password")
    expect(page.locator("body")).to_contain_text("Invalid username or password")
    page.goto(f"{hub.url}user/{USER}/lab")
    expect(page.get_by_label("Password", exact=True)).to_be_visible()


def test_a_user_name_that_cannot_be_is_explained(page: Page, hub: Trial) -> None:
    log_in(page, hub, "o'brien $(id)")
    expect(page.locator("body")).to_contain_text("expected one that matches")
    expect(page.locator("body")).not_to_contain_text("500")


def test_the_launch_page_shows_what_this_machine_can_hold(page: Page, hub: Trial, pictures: Path | None) -> None:
    log_in(page, hub, USER)
    page.wait_for_url("**/hub/spawn")
    cards = page.locator(".vre-card")
    expect(cards).to_have_count(4)
    for card, words in zip(cards.all(), ("1 core", "4 cores", "8 cores", "16 cores"), strict=True):
        expect(card).to_contain_text(words)
    expect(page.locator("input[name=size]:checked")).to_have_value("small")
    for off in page.locator(".vre-card-off").all():
        expect(off).to_contain_text("This machine has only")
        expect(off.locator("input")).to_be_disabled()
    if pictures:
        page.screenshot(path=pictures / "launch.png")


@pytest.mark.timeout(600)
def test_a_researcher_opens_the_first_tutorial_runs_all_and_sees_the_swath(
    page: Page, hub: Trial, pictures: Path | None
) -> None:
    start_session(page, hub, USER)
    page.locator(".jp-DirListing-item", has_text="tutorials").dblclick()
    page.locator(".jp-DirListing-item", has_text=NOTEBOOK).dblclick()
    notebook = page.locator(".jp-NotebookPanel")
    wait_for_kernel(page)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_function(ALL_DONE, timeout=RUN_ALL_MILLISECONDS)
    assert not errors_of(notebook)
    figures = notebook.locator(".bk-Figure")
    for figure in (figures.first, figures.nth(1)):
        bring_into_view(page, figure)
        assert figure.evaluate(COUNT_COLOURS) > COLOURS_OF_A_SWATH
    if pictures:
        page.wait_for_timeout(1000)  # the toolbar of the figure fades in
        page.screenshot(path=pictures / "lab.png")


def test_the_session_is_shown_at_home_and_can_be_stopped(page: Page, hub: Trial) -> None:
    log_in(page, hub, USER)
    page.goto(f"{hub.url}hub/home")
    expect(page.locator("body")).to_contain_text("Small")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("link", name="Start").or_(page.get_by_role("button", name="Start")).first).to_be_visible()
    page.goto(f"{hub.url}hub/spawn")
    expect(page.locator("input[name=walltime_hours]:checked")).to_have_value("1")
