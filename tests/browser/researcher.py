"""What a researcher does at the hub and in JupyterLab, and what is then on the screen."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from swotvre_hub.trial import Trial

#: How many different colours the canvases in an element show.
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
#: Colours that a drawn swath has at least; an empty frame has a handful.
COLOURS_OF_A_SWATH = 40


def log_in(page: Page, hub: Trial, user: str, password: str | None = None) -> None:
    """Log in at the hub, with its password unless another one is given."""
    page.goto(hub.url)
    page.get_by_label("User name").fill(user)
    page.get_by_label("Password", exact=True).fill(hub.password if password is None else password)
    page.locator("[type=submit]").click()


def start_session(page: Page, hub: Trial, user: str) -> None:
    """Log in and start a session of one hour; return when its Lab shows the kernel to choose."""
    log_in(page, hub, user)
    page.wait_for_url("**/hub/spawn")
    page.locator("label.vre-duration", has_text="1 hour").click()
    page.get_by_role("button", name="Start session").click()
    page.wait_for_url(f"**/user/{user}/lab**")
    expect(page.locator(".jp-LauncherCard[title*='SWOT Ocean']").first).to_be_visible()


def wait_for_kernel(page: Page) -> None:
    """Wait until the kernel of the open notebook has nothing to do."""
    expect(page.get_by_role("button", name="SWOT Ocean | Idle")).to_be_visible()


def errors_of(notebook: Locator) -> list[str]:
    """Return what the cells of a notebook wrote of errors."""
    outputs = notebook.locator(
        "[data-mime-type='application/vnd.jupyter.stderr'], .jp-RenderedText[data-mime-type*=error]"
    )
    return [text for text in outputs.all_inner_texts() if "Error" in text]


def bring_into_view(page: Page, element: Locator) -> None:
    """Scroll until ``element`` stays in view: the Lab lays cells out as they come near, and moves those below."""
    for _ in range(20):
        element.evaluate("element => element.scrollIntoView({block: 'center'})")
        page.wait_for_timeout(500)
        box = element.bounding_box()
        if box and 0 <= box["y"] + box["height"] / 2 <= 900:
            break
    expect(element).to_be_in_viewport(ratio=0.5)


def run_in_new_notebook(page: Page, code: str) -> Locator:
    """Open a notebook from the launcher and run ``code`` in its first cell; return the notebook."""
    page.locator(".jp-Launcher-section", has_text="Notebook").locator(".jp-LauncherCard[title*='SWOT Ocean']").click()
    wait_for_kernel(page)
    notebook = page.locator(".jp-NotebookPanel")
    run_in_next_cell(page, notebook, code)
    return notebook


def run_in_next_cell(page: Page, notebook: Locator, code: str) -> None:
    """Run ``code`` in the last cell, which is empty; do not wait for what comes of it."""
    notebook.locator(".jp-Cell .cm-content").last.click()
    # Typed key by key, the editor would add what closes a bracket.
    page.keyboard.insert_text(code)
    page.keyboard.press("Shift+Enter")
