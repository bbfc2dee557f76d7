"""A researcher's way: log in, choose a size, start, open the first tutorial, run all, see the figures, stop."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from swotvre_hub.trial import Trial

USER = "maria"
NOTEBOOK = "01_open_a_swot_product.ipynb"
#: All cells: imports, a figure, a cluster.
RUN_ALL_MILLISECONDS = 240_000
#: Colours that a drawn swath has at least; an empty frame has a handful.
COLOURS_OF_A_SWATH = 40

#: Every code cell has a number: none is waiting (``[*]``) or empty (``[ ]``).
ALL_DONE = """
() => {
  const prompts = [...document.querySelectorAll('.jp-NotebookPanel .jp-CodeCell .jp-InputPrompt')];
  return prompts.length > 5 && prompts.every(prompt => /\\[\\d+\\]/.test(prompt.textContent));
}
"""
COUNT_COLOURS = """
element => {
  const seen = new Set();
  const canvases = [];
  const collect = root => {
    for (const node of root.querySelectorAll('*')) {
      if (node.tagName === 'CANVAS' && node.width > 0 && node.height > 0) canvases.push(node);
      if (node.shadowRoot) collect(node.shadowRoot);
    }
  };
  if (element.shadowRoot) collect(element.shadowRoot);
  collect(element);
  for (const canvas of canvases) {
    const context = canvas.getContext('2d');
    if (context === null) continue;
    const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
    for (let i = 0; i < data.length; i += 4) {
      if (data[i + 3] > 0) seen.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
    }
  }
  return seen.size;
}
"""


def _log_in(page: Page, hub: Trial, user: str = USER, password: str | None = None) -> None:
    page.goto(hub.url)
    page.get_by_label("User name").fill(user)
    page.get_by_label("Password", exact=True).fill(hub.password if password is None else password)
    page.locator("[type=submit]").click()


def _bring_into_view(page: Page, element: Locator) -> None:
    """Scroll until ``element`` stays in view: the Lab lays cells out as they come near, and moves those below."""
    for _ in range(20):
        element.evaluate("element => element.scrollIntoView({block: 'center'})")
        page.wait_for_timeout(500)
        box = element.bounding_box()
        if box and 0 <= box["y"] + box["height"] / 2 <= 900:
            break
    expect(element).to_be_in_viewport(ratio=0.5)


def test_nobody_gets_in_without_the_password(page: Page, hub: Trial) -> None:
    _log_in(page, hub, password="not the password")
    expect(page.locator("body")).to_contain_text("Invalid username or password")
    page.goto(f"{hub.url}user/{USER}/lab")
    expect(page.get_by_label("Password", exact=True)).to_be_visible()


def test_a_user_name_that_cannot_be_is_explained(page: Page, hub: Trial) -> None:
    _log_in(page, hub, user="o'brien $(id)")
    expect(page.locator("body")).to_contain_text("expected one that matches")
    expect(page.locator("body")).not_to_contain_text("500")


def test_the_launch_page_shows_what_this_machine_can_hold(page: Page, hub: Trial, pictures: Path | None) -> None:
    _log_in(page, hub)
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
    _log_in(page, hub)
    page.wait_for_url("**/hub/spawn")
    page.locator("label.vre-duration", has_text="1 hour").click()
    page.get_by_role("button", name="Start session").click()
    page.wait_for_url(f"**/user/{USER}/lab**")
    launcher = page.locator(".jp-LauncherCard[title*='SWOT Ocean']")
    expect(launcher.first).to_be_visible()
    page.locator(".jp-DirListing-item", has_text="tutorials").dblclick()
    page.locator(".jp-DirListing-item", has_text=NOTEBOOK).dblclick()
    notebook = page.locator(".jp-NotebookPanel")
    expect(page.get_by_role("button", name="SWOT Ocean | Idle")).to_be_visible()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_function(ALL_DONE, timeout=RUN_ALL_MILLISECONDS)
    errors = notebook.locator(
        "[data-mime-type='application/vnd.jupyter.stderr'], .jp-RenderedText[data-mime-type*=error]"
    )
    assert not [text for text in errors.all_inner_texts() if "Error" in text]
    figures = notebook.locator(".bk-Figure")
    for figure in (figures.first, figures.nth(1)):
        _bring_into_view(page, figure)
        assert figure.evaluate(COUNT_COLOURS) > COLOURS_OF_A_SWATH
    if pictures:
        page.wait_for_timeout(1000)  # the toolbar of the figure fades in
        page.screenshot(path=pictures / "lab.png")


def test_the_session_is_shown_at_home_and_can_be_stopped(page: Page, hub: Trial) -> None:
    _log_in(page, hub)
    page.goto(f"{hub.url}hub/home")
    expect(page.locator("body")).to_contain_text("Small")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("link", name="Start").or_(page.get_by_role("button", name="Start")).first).to_be_visible()
    page.goto(f"{hub.url}hub/spawn")
    expect(page.locator("input[name=walltime_hours]:checked")).to_have_value("1")
