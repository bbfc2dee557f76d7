"""``ds.swot.plot()`` in a session's Lab: the kernel draws what comes into view, and the last view wins."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Locator, Page, expect
from researcher import (
    COLOURS_OF_A_SWATH,
    COUNT_COLOURS,
    bring_into_view,
    errors_of,
    run_in_new_notebook,
    run_in_next_cell,
    start_session,
)

from swotvre_hub.trial import Trial

USER = "ida"
#: A place on the swath of the first example, as parts of the figure from its left and upper edge.
ON_SWATH = (0.42, 0.5)
#: One notch of a wheel.
NOTCH = 120
#: A cell that runs for the rest of the test, while each picture takes half a second: longer than the next turn of the
#: wheel takes to come.
SLOW_KERNEL = """
import time
from swotvre_catalogs.swath.plot_pyramid import SwathPyramid

draw = SwathPyramid.draw
SwathPyramid.draw = lambda *view: time.sleep(0.5) or draw(*view)
time.sleep(300)
"""
#: Edges are west, south, east, north, in degrees.
FIND = """
  const models = Bokeh.documents.flatMap(document => [...document._all_models.values()]);
  const figure = models.find(model => model.type === 'Figure');
  const layer = figure.renderers.find(renderer => renderer.glyph.type === 'Image');
  const image = layer.data_source.data;
  const view = [figure.x_range.start, figure.y_range.start, figure.x_range.end, figure.y_range.end];
  const drawn = [image.x[0], image.y[0], image.x[0] + image.dw[0], image.y[0] + image.dh[0]];
  const is_up_to_date = view.every((edge, k) => Math.abs(edge - drawn[k]) < 1e-9 * Math.abs(edge));
"""
#: How many picture elements with a value, of some from everywhere, have its colour on the screen; and how many not.
COMPARE_WITH_SCREEN = """
  const {palette, low, high} = layer.glyph.color_mapper;
  const [rows, columns] = image.image[0].shape;
  const {frame, canvas_view} = Bokeh.index.find_one(figure);
  const {left, top, width, height} = frame.bbox;
  let same = 0, other = 0;
  for (let row = 5; row < rows; row += 13) for (let column = 5; column < columns; column += 7) {
    const value = image.image[0][row * columns + column];
    if (!Number.isFinite(value)) continue;
    const place = Math.floor((value - low) / (high - low) * palette.length);
    const hex = palette[Math.max(0, Math.min(palette.length - 1, place))];
    // Bokeh lays an image one pixel to the right.
    const x = left + Math.ceil((column + 0.5) / columns * width);
    const y = top + Math.floor((1 - (row + 0.5) / rows) * height);
    const seen = canvas_view.primary.ctx.getImageData(x, y, 1, 1).data;
    const near = [1, 3, 5].every((k, band) => Math.abs(parseInt(hex.slice(k, k + 2), 16) - seen[band]) <= 8);
    if (near) same += 1; else other += 1;
  }
"""


class Shown(NamedTuple):
    """What the browser shows."""

    #: Edges of the map.
    view: tuple[float, ...]
    #: Size of a picture element, degrees of latitude.
    fineness: float
    #: Number of the request that the kernel has answered; 0 is the first picture.
    answered: int


def _wait_until_drawn(page: Page) -> Shown:
    """Wait until the kernel has drawn exactly what is in view and the screen shows it."""
    page.wait_for_function(f"() => {{ {FIND} return is_up_to_date; }}")
    page.wait_for_function(
        f"() => {{ {FIND} {COMPARE_WITH_SCREEN} return same > 100 && same > 20 * other; }}", timeout=10_000
    )
    return _shown(page)


def _shown(page: Page) -> Shown:
    found: dict[str, Any] = page.evaluate(
        f"() => {{ {FIND} return {{view, size: image.dh[0] / image.image[0].shape[0], stamp: image.stamp[0]}}; }}"
    )
    return Shown(tuple(found["view"]), found["size"], found["stamp"])


def _width(shown: Shown) -> float:
    return shown.view[2] - shown.view[0]


def _place(figure: Locator) -> tuple[float, float]:
    box = figure.bounding_box()
    assert box is not None
    return box["x"] + ON_SWATH[0] * box["width"], box["y"] + ON_SWATH[1] * box["height"]


@pytest.fixture
def notebook(page: Page, hub: Trial, checkout: Path) -> Locator:
    """A notebook of a session that has run the first example of the page on pictures."""
    text = (checkout / "docs" / "how-to" / "plot-a-swath.md").read_text(encoding="utf-8")
    example = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert example is not None
    start_session(page, hub, USER)
    return run_in_new_notebook(page, example[1])


@pytest.mark.timeout(600)
def test_a_researcher_zooms_into_a_swath_and_the_kernel_draws_it_anew(page: Page, notebook: Locator) -> None:
    figure = notebook.locator(".bk-Figure")
    expect(figure.or_(notebook.locator(".jp-RenderedText[data-mime-type*=error]")).first).to_be_visible()
    assert not errors_of(notebook)
    bring_into_view(page, figure)
    assert figure.evaluate(COUNT_COLOURS) > COLOURS_OF_A_SWATH
    first = _wait_until_drawn(page)
    assert first.answered == 0

    page.mouse.move(*_place(figure))
    expect(page.locator(".bk-Tooltip")).to_contain_text(re.compile(r"\d°E\s+\d.*°S.*-?\d\.\d+ m", re.DOTALL))
    page.mouse.wheel(0, -2 * NOTCH)
    zoomed = _wait_until_drawn(page)
    assert zoomed.answered > first.answered
    assert _width(zoomed) < 0.8 * _width(first)
    assert zoomed.fineness < 0.8 * first.fineness

    run_in_next_cell(page, notebook, SLOW_KERNEL)
    running = notebook.locator(".jp-InputPrompt", has_text="[*]")
    expect(running).to_be_attached()
    bring_into_view(page, figure)
    x, y = _place(figure)
    page.mouse.move(x, y)
    for _ in range(5):
        page.mouse.wheel(0, -NOTCH)
    page.mouse.down()
    page.mouse.move(x - 60, y - 45, steps=6)
    page.mouse.up()
    last = _wait_until_drawn(page)
    assert _width(last) < 0.5 * _width(zoomed)
    # Nothing that was asked for on the way comes after it.
    page.wait_for_timeout(1500)
    assert _wait_until_drawn(page) == last
    expect(running).to_be_attached()
    assert not errors_of(notebook)
