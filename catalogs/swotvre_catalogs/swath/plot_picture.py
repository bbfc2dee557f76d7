"""The interactive picture: a figure of bokeh whose image the kernel draws anew for every view."""

from __future__ import annotations

import json
import re
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import panel
from bokeh.models import (
    ColorBar,
    ColumnDataSource,
    CustomJS,
    CustomJSHover,
    CustomJSTickFormatter,
    HoverTool,
    LinearColorMapper,
    Range1d,
    Title,
)
from bokeh.plotting import figure

from swotvre_catalogs.errors import ParameterValueError
from swotvre_catalogs.swath.coastline import land_in_view
from swotvre_catalogs.swath.plot_graticule import graticule
from swotvre_catalogs.swath.plot_projection import Bounds, PlateCarree, PolarStereographic
from swotvre_catalogs.swath.plot_pyramid import SwathPyramid
from swotvre_catalogs.swath.plot_style import COAST, GRID, INK, LAND, NARROWEST_DEGREES, OCEAN, Look, number_format

#: Pixels left of the map.
_ROOM_FOR_LABELS = 64
#: Asks the kernel for a view, at most one at a time: what comes meanwhile is asked for when the answer is there.
_ASK = """
const state = request.tags[0] ?? (request.tags[0] = {asked: 0, answered: 0, timer: null, again: false});
const ask = () => {
  state.timer = null;
  const pending = state.asked > image.data.stamp[0] && Date.now() - state.since < 3000;
  if (pending) { state.again = true; return; }
  state.again = false;
  const {west, south, east, north} = request.data;
  if (west[0] === x.start && south[0] === y.start && east[0] === x.end && north[0] === y.end) return;
  state.asked += 1;
  state.since = Date.now();
  request.data = {west: [x.start], south: [y.start], east: [x.end], north: [y.end], stamp: [state.asked]};
};
if (answered) { if (state.again) ask(); }
else if (state.timer === null) state.timer = setTimeout(ask, 40);
"""
_LONGITUDE = "const d = ((x % 360) + 540) % 360 - 180; const a = Math.abs(d);"
_HOVER_POLAR = f"""
const h = hemisphere; const x0 = special_vars.x, y0 = special_vars.y;
const lat = h * (90 - 2 * Math.atan(Math.hypot(x0, y0) / (2 * 6371)) * 180 / Math.PI);
const x = Math.atan2(x0, -h * y0) * 180 / Math.PI + center;
{_LONGITUDE}
"""
_HOVER_PLATE = f"const x = special_vars.x; const lat = special_vars.y; {_LONGITUDE}"
_HOVER_TEXT = """
return a.toFixed(3) + '°' + (d < 0 ? 'W' : 'E') + '  ' + Math.abs(lat).toFixed(3) + '°' + (lat < 0 ? 'S' : 'N');
"""
_TICK_X = (
    f"const x = tick; {_LONGITUDE} return +a.toFixed(4) + '°' + (a < 1e-9 || a > 180 - 1e-9 ? '' : d < 0 ? 'W' : 'E');"
)
_TICK_Y = "return +Math.abs(tick).toFixed(4) + '°' + (Math.abs(tick) < 1e-9 ? '' : tick < 0 ? 'S' : 'N');"


class SwathPicture:
    """A swath on a map that a notebook shows; pan and zoom draw what is in view anew while the kernel runs."""

    def __init__(self, pyramid: SwathPyramid, look: Look) -> None:
        self.pyramid = pyramid
        self.look = look

    def __repr__(self) -> str:
        """Say what is drawn, for a terminal."""
        return f"<SwathPicture {self.look.title!r}; show it in a notebook, or .save('picture.html')>"

    def draw(self, view: Bounds | None = None) -> dict[str, dict[str, Any]]:
        """Return the data of image, land and coast for a view in the coordinates of the projection."""
        look = self.look
        west, south, east, north = self._inside(look.view if view is None else view)
        image, _ = self.pyramid.draw((west, south, east, north), look.width, look.height)
        data: dict[str, dict[str, Any]] = {
            "image": {"image": [image], "x": [west], "y": [south], "dw": [east - west], "dh": [north - south]}
        }
        if look.coastline:
            resolution = (north - south) / look.height * self.pyramid.projection.unit_degrees
            # Half a frame more on each side: land is there already while a drag goes on.
            wide, high = (east - west) / 2, (north - south) / 2
            land = land_in_view(
                self.pyramid.projection, (west - wide, south - high, east + wide, north + high), resolution
            )
            for name, lines in (("land", land.rings), ("coast", land.coast)):
                data[name] = {"x": lines[:, 0].copy(), "y": lines[:, 1].copy()}
        return data

    def figure(self, redrawn: Any = None) -> Any:
        """Return a new figure of bokeh.

        Args:
            redrawn: called without arguments after each redrawing, for what has to send it to the browser.
        """
        sources = {name: ColumnDataSource(data) for name, data in self.draw().items()}
        sources["image"].data = {**sources["image"].data, "stamp": [0]}
        plot = self._frame()
        if "land" in sources:
            plot.patch(
                "x", "y", source=sources["land"], fill_color=LAND, line_color=LAND, line_width=0.5, level="underlay"
            )
        mapper = LinearColorMapper(
            palette=self.look.palette, low=self.look.limits[0], high=self.look.limits[1], nan_color="rgba(0, 0, 0, 0)"
        )
        drawn = plot.image("image", "x", "y", "dw", "dh", source=sources["image"], color_mapper=mapper)
        if "coast" in sources:
            plot.line("x", "y", source=sources["coast"], line_color=COAST, line_width=0.8)
        self._add_graticule(plot)
        bar = ColorBar(
            color_mapper=mapper, width=12, padding=8,
            major_label_text_color=INK, bar_line_color=None, border_line_color=None,
        )  # fmt: skip
        plot.add_layout(bar, "right")
        # A title of the bar itself would be squeezed between bar and map; below the tools this one would be off centre.
        plot.toolbar_sticky = False
        name = Title(text=self.look.label, align="center", text_font_style="normal", text_color=INK)
        plot.add_layout(name, "right")
        plot.add_tools(self._hover(drawn))
        self._listen(plot, sources, redrawn)
        return plot

    def save(self, path: str | Path) -> Path:
        """Write the picture to a file: ``.html`` to be panned and zoomed in a browser, or ``.png``; return its path.

        Raises:
            ParameterValueError: For another ending.
        """
        target = Path(path)
        if target.suffix == ".png":
            from swotvre_catalogs.swath.plot_figure import draw_figure

            draw_figure(self.pyramid, self.look).savefig(target)
        elif target.suffix in (".html", ".htm"):
            from bokeh.embed import file_html
            from bokeh.resources import INLINE

            page = file_html(self.figure(), INLINE, title=self.look.title, suppress_callback_warning=True)
            # Importing panel makes bokeh ask for a script of panel's that the picture does not use.
            page = re.sub(r'<script[^>]*src="static/[^"]*"[^>]*>\s*</script>', "", page)
            target.write_text(page, encoding="utf-8")
        else:
            raise ParameterValueError(f"a picture is saved as .html or .png, received {target.name!r}")
        return target

    def panel(self) -> Any:
        """Return a pane of panel, for a dashboard or a notebook."""
        pane: Any = panel.pane.Bokeh(self.figure(lambda: panel.io.push_notebook(pane)))
        return pane

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        holoviews = sys.modules.get("holoviews")
        if not (panel.extension._loaded or (holoviews and holoviews.extension._loaded)):
            panel.extension(inline=True)
        # The loops for cells are compiled, once and for all, while the picture travels to the browser.
        threading.Thread(target=self._zoom_once).start()
        return self.panel()._repr_mimebundle_(include, exclude)

    def _zoom_once(self) -> None:
        bounds = self.pyramid.bounds
        if bounds is not None:
            size = NARROWEST_DEGREES / self.pyramid.projection.unit_degrees
            self.pyramid.draw((bounds[0], bounds[1], bounds[0] + size, bounds[1] + size), 4, 4)

    def _inside(self, view: Bounds) -> Bounds:
        """Return a view that has a size and is no larger than the map."""
        narrowest = NARROWEST_DEGREES / self.pyramid.projection.unit_degrees
        left, bottom, right, top = self.pyramid.projection.limits
        low = max(view[0], left), max(view[1], bottom)
        high = min(view[2], right), min(view[3], top)
        return (low[0], low[1], max(high[0], low[0] + narrowest), max(high[1], low[1] + narrowest))

    def _frame(self) -> Any:
        look, projection = self.look, self.pyramid.projection
        left, bottom, right, top = projection.limits
        west, south, east, north = look.view
        narrowest = NARROWEST_DEGREES / projection.unit_degrees
        plot = figure(
            frame_width=look.width,
            frame_height=look.height,
            x_range=Range1d(west, east, bounds=(min(left, west), max(right, east)), min_interval=narrowest),
            y_range=Range1d(south, north, bounds=(min(bottom, south), max(top, north)), min_interval=narrowest),
            tools="pan,wheel_zoom,box_zoom,reset,save",
            active_scroll="wheel_zoom",
            active_drag="pan",
            title=look.title,
            background_fill_color=OCEAN,
            output_backend="canvas",
        )
        # Room for the longest latitude: the map stays where it is when the labels grow.
        plot.min_border_left = _ROOM_FOR_LABELS if isinstance(projection, PlateCarree) else None
        plot.title.text_font_style = "normal"
        plot.title.text_color = INK
        plot.outline_line_color = GRID
        plot.toolbar.logo = None
        plot.grid.grid_line_color = GRID
        plot.grid.grid_line_alpha = 0.5
        plot.axis.axis_line_color = plot.axis.minor_tick_line_color = None
        plot.axis.major_label_text_color = plot.axis.major_tick_line_color = INK
        if isinstance(projection, PolarStereographic):
            plot.axis.visible = plot.grid.visible = False
        else:
            plot.xaxis.formatter = CustomJSTickFormatter(code=_TICK_X)
            plot.yaxis.formatter = CustomJSTickFormatter(code=_TICK_Y)
            for axis, span in ((plot.xaxis, east - west), (plot.yaxis, north - south)):
                axis.ticker.mantissas = [1, 1.5, 3, 4.5, 6, 9] if span > 45 else [1, 2, 5]
                axis.ticker.desired_num_ticks = max(3, (look.width if axis is plot.xaxis else look.height) // 75)
        return plot

    def _add_graticule(self, plot: Any) -> None:
        if isinstance(self.pyramid.projection, PlateCarree):
            return
        lines, texts = graticule(self.pyramid.projection, self.look.view)
        xs, ys = [line[:, 0] for line in lines], [line[:, 1] for line in lines]
        plot.multi_line(xs, ys, line_color=GRID, line_width=0.7, level="underlay")
        places, heights, words = (list(part) for part in zip(*texts, strict=True)) if texts else ([], [], [])
        plot.text(
            places, heights, words, text_font_size="9px", text_color=INK, text_align="center", text_baseline="middle"
        )

    def _hover(self, drawn: Any) -> HoverTool:
        projection = self.pyramid.projection
        if isinstance(projection, PolarStereographic):
            setting = f"const hemisphere = {projection.hemisphere}, center = {projection.center};"
            code = setting + _HOVER_POLAR + _HOVER_TEXT
        else:
            code = _HOVER_PLATE + _HOVER_TEXT
        unit = json.dumps(f" {self.look.unit}")
        return HoverTool(
            renderers=[drawn],
            tooltips=[("at", "$x{custom}"), ("value", "@image{custom}")],
            formatters={
                "$x": CustomJSHover(code=code),
                "@image": CustomJSHover(code=f"return value.{number_format(self.look.limits)} + {unit}"),
            },
        )

    def _listen(self, plot: Any, sources: dict[str, ColumnDataSource], redrawn: Any) -> None:
        request = ColumnDataSource({name: [0.0] for name in ("west", "south", "east", "north", "stamp")})
        arguments = {"request": request, "image": sources["image"], "x": plot.x_range, "y": plot.y_range}
        for moved in (plot.x_range, plot.y_range):
            for end in ("start", "end"):
                moved.js_on_change(end, CustomJS(args=arguments, code=f"const answered = false; {_ASK}"))
        sources["image"].js_on_change("data", CustomJS(args=arguments, code=f"const answered = true; {_ASK}"))

        def redraw(_attribute: str, _old: Any, new: dict[str, Any]) -> None:
            view = tuple(float(new[edge][0]) for edge in ("west", "south", "east", "north"))
            if not np.isfinite(view).all() or view[0] >= view[2] or view[1] >= view[3]:
                return
            data = self.draw((view[0], view[1], view[2], view[3]))
            # The image comes last: with it the browser may ask again.
            for name in ("land", "coast"):
                if name in data:
                    sources[name].data = data[name]
            sources["image"].data = {**data["image"], "stamp": [int(new["stamp"][0])]}
            if redrawn is not None:
                redrawn()

        request.on_change("data", redraw)
