"""The launch page as HTML: sizes, what this machine cannot hold, what is preselected."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from swotvre_hub.launch_form import render_launch_form
from swotvre_hub.machine import Machine
from swotvre_hub.sessions import parse_session_request
from swotvre_hub.settings import Settings, load_settings

GIB = 2**30
LAPTOP = Machine(cores=4, memory_bytes=32 * GIB)
SERVER = Machine(cores=64, memory_bytes=512 * GIB)
DEFAULTS = load_settings()
TINY = Machine(cores=1, memory_bytes=4 * GIB)


@dataclass
class Form(HTMLParser):
    """The parts of a launch form that a browser would act on."""

    html: str
    inputs: list[dict[str, str | None]] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    #: Text by the id of the innermost element that has one.
    texts: dict[str, str] = field(default_factory=dict)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self._ids: list[str] = []
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        if tag == "input":
            self.inputs.append(values)
        else:
            self._ids.append(values.get("id") or (self._ids[-1] if self._ids else ""))

    def handle_endtag(self, tag: str) -> None:
        if tag != "input":
            self._ids.pop()

    def handle_data(self, data: str) -> None:
        if self.tags[-1] == "script":
            return
        self.text += f" {data}"
        if self._ids:
            self.texts[self._ids[-1]] = self.texts.get(self._ids[-1], "") + data

    def radios(self, name: str) -> list[dict[str, str | None]]:
        """Return the radio buttons of one question."""
        return [one for one in self.inputs if one["name"] == name]

    def values(self, name: str) -> list[str | None]:
        """Return what can be answered."""
        return [one["value"] for one in self.radios(name)]

    def disabled(self, name: str) -> list[str | None]:
        """Return the answers that cannot be chosen."""
        return [one["value"] for one in self.radios(name) if "disabled" in one]

    def chosen(self, name: str) -> str | None:
        """Return what is sent when the user only presses Start."""
        checked = [one["value"] for one in self.radios(name) if "checked" in one]
        assert len(checked) <= 1
        return checked[0] if checked else None

    def words(self, element: str) -> str:
        """Return the text of an element, with single spaces."""
        return " ".join(self.texts[element].split())


@pytest.fixture(scope="module")
def settings() -> Settings:
    return DEFAULTS


def site_settings(folder: Path, text: str) -> Settings:
    file = folder / "vre.yaml"
    file.write_text(text, encoding="utf-8")
    return load_settings(file)


def test_the_sizes_stand_in_the_order_of_the_settings(settings: Settings) -> None:
    form = Form(render_launch_form(settings, SERVER, None))
    assert form.values("size") == list(settings.sizes)
    assert form.disabled("size") == []


def test_a_card_says_cores_memory_use_and_longest_duration(settings: Settings) -> None:
    form = Form(render_launch_form(settings, SERVER, None))
    assert form.words("size-small-title") == "Small"
    assert form.words("size-small-holds") == "1 core 8 GiB memory"
    assert form.words("size-xlarge-holds") == "16 cores 128 GiB memory"
    assert form.words("size-xlarge-about") == "Whole cycles in memory Up to 8 hours"


def test_a_size_that_the_machine_cannot_hold_is_disabled_and_says_why(settings: Settings) -> None:
    form = Form(render_launch_form(settings, LAPTOP, None))
    assert form.disabled("size") == ["large", "xlarge"]
    assert "This machine has only 4 cores and 32 GiB of memory." in form.words("size-large-about")
    assert "only" not in form.words("size-medium-about")


@pytest.mark.parametrize(
    ("machine", "reason"),
    [
        (Machine(4, 8 * GIB), "This machine has only 8 GiB of memory."),
        (Machine(1, 64 * GIB), "This machine has only 1 core."),
    ],
)
def test_the_reason_names_only_what_is_missing(settings: Settings, machine: Machine, reason: str) -> None:
    form = Form(render_launch_form(settings, machine, None))
    assert form.words("size-medium-about").endswith(reason)


def test_a_first_session_has_the_defaults_preselected(settings: Settings) -> None:
    form = Form(render_launch_form(settings, SERVER, None))
    assert (form.chosen("size"), form.chosen("walltime_hours")) == ("small", "4")


@pytest.mark.parametrize("hours", [8, 8.0, "8"])
def test_the_last_choice_is_preselected(settings: Settings, hours: object) -> None:
    form = Form(render_launch_form(settings, SERVER, {"size": "large", "walltime_hours": hours}))
    assert (form.chosen("size"), form.chosen("walltime_hours")) == ("large", "8")


def test_a_last_size_that_no_longer_fits_gives_way_to_the_default(settings: Settings) -> None:
    form = Form(render_launch_form(settings, LAPTOP, {"size": "xlarge", "walltime_hours": 2}))
    assert (form.chosen("size"), form.chosen("walltime_hours")) == ("small", "2")


def test_a_last_duration_beyond_the_size_gives_way_to_the_default(settings: Settings) -> None:
    form = Form(render_launch_form(settings, SERVER, {"size": "xlarge", "walltime_hours": 12}))
    assert (form.chosen("size"), form.chosen("walltime_hours")) == ("xlarge", "4")


@pytest.mark.parametrize(
    "last",
    [
        {"size": ["medium"], "walltime_hours": {"a": 1}},
        {"size": "<script>", "walltime_hours": "soon"},
        {"size": 3, "walltime_hours": 10**400},
        {"size": None, "walltime_hours": float("nan")},
        {"size": "small\n", "walltime_hours": True},
        ["medium"],
        "medium",
    ],
)
def test_nonsense_of_the_last_session_is_ignored(settings: Settings, last: object) -> None:
    html = render_launch_form(settings, SERVER, last)  # type: ignore[arg-type]
    assert html == render_launch_form(settings, SERVER, None)


@hypothesis_settings(deadline=None)
@given(
    size=st.one_of(st.sampled_from(["small", "medium", "large", "xlarge"]), st.text(), st.integers(), st.none()),
    hours=st.one_of(st.floats(), st.integers(), st.text(), st.none()),
    cores=st.integers(1, 32),
    memory_gib=st.integers(8, 256),
)
def test_what_is_preselected_would_be_accepted(size: object, hours: object, cores: int, memory_gib: int) -> None:
    settings, machine = DEFAULTS, Machine(cores, memory_gib * GIB)
    form = Form(render_launch_form(settings, machine, {"size": size, "walltime_hours": hours}))
    request = parse_session_request(
        {"size": form.chosen("size"), "walltime_hours": form.chosen("walltime_hours")}, settings, machine
    )
    assert request.size_name not in form.disabled("size")


def test_only_durations_that_some_size_of_this_machine_allows_are_offered(tmp_path: Path) -> None:
    settings = site_settings(
        tmp_path,
        """
sizes:
  short: {title: Short, cores: 1, memory_gib: 1, max_walltime_hours: 2, good_for: ""}
  big: {title: Big, cores: 99, memory_gib: 1, max_walltime_hours: 12, good_for: ""}
sessions: {default_size: short, default_walltime_hours: 1, walltime_choices_hours: [1, 2, 4, 12], workspace: "",
  start_timeout_seconds: 60, fork_server: true}
gateway: {enabled: false, idle_timeout_minutes: 1, max_workers: 1, default_size: short}
""",
    )
    assert Form(render_launch_form(settings, LAPTOP, None)).values("walltime_hours") == ["1", "2"]


def test_a_size_shorter_than_every_choice_offers_its_longest(tmp_path: Path) -> None:
    settings = site_settings(
        tmp_path,
        """
sizes:
  brief: {title: Brief, cores: 1, memory_gib: 1, max_walltime_hours: 0.5, good_for: ""}
  long: {title: Long, cores: 1, memory_gib: 1, max_walltime_hours: 8, good_for: ""}
sessions: {default_size: long, default_walltime_hours: 4, walltime_choices_hours: [2, 4], workspace: "",
  start_timeout_seconds: 60, fork_server: true}
gateway: {enabled: false, idle_timeout_minutes: 1, max_workers: 1, default_size: long}
""",
    )
    form = Form(render_launch_form(settings, LAPTOP, {"size": "brief"}))
    assert form.chosen("walltime_hours") == "0.5"
    assert "30 minutes" in form.text


def test_when_no_size_fits_the_page_says_so_and_has_no_start_button(settings: Settings) -> None:
    form = Form(render_launch_form(settings, TINY, None))
    assert "No session can be started here" in form.text
    assert "button" not in form.tags
    assert form.disabled("size") == form.values("size")


def test_the_end_of_the_last_session_is_told(settings: Settings) -> None:
    form = Form(render_launch_form(settings, LAPTOP, None, "Your last session ended: its duration was over."))
    assert "Your last session ended: its duration was over." in " ".join(form.text.split())
    assert "last session" not in render_launch_form(settings, LAPTOP, None)


def test_what_is_to_know_of_the_memory_limit_stands_under_the_cards(settings: Settings) -> None:
    form = Form(render_launch_form(settings, LAPTOP, None, memory_note="It is not <b>enforced</b>."))
    assert form.words("memory-note") == "It is not <b>enforced</b>."
    assert "memory-note" not in Form(render_launch_form(settings, LAPTOP, None)).texts


def test_the_page_says_when_an_idle_session_ends(tmp_path: Path) -> None:
    idle = "idle: {enabled: %s, timeout_minutes: 90, warning_minutes: 5, check_every_seconds: 60}"
    ends = [
        " ".join(Form(render_launch_form(site_settings(tmp_path, idle % flag), LAPTOP, None)).text.split())
        for flag in ("true", "false")
    ]
    assert "after 1 hour 30 minutes in which nothing was computed" in ends[0]
    assert "you are told 5 minutes before" in ends[0]
    assert "nothing was computed" not in ends[1]
    assert "The session ends after this duration. Your files stay." in ends[1]


def test_text_of_others_is_escaped(tmp_path: Path) -> None:
    settings = site_settings(
        tmp_path,
        """
site: {name: x, support: "<script>s</script>"}
sizes:
  odd: {title: "<b>\\"odd'", cores: 1, memory_gib: 1, max_walltime_hours: 8, good_for: "<script>g</script>"}
sessions: {default_size: odd, default_walltime_hours: 4, walltime_choices_hours: [4], workspace: "",
  start_timeout_seconds: 60, fork_server: true}
gateway: {enabled: false, idle_timeout_minutes: 1, max_workers: 1, default_size: odd}
""",
    )
    html = render_launch_form(settings, LAPTOP, {"size": "<script>"}, "<script>e</script>")
    form = Form(html)
    assert form.tags.count("script") == 1
    assert form.words("size-odd-title") == "<b>\"odd'"
    assert "<script>g</script>" in form.words("size-odd-about")
    assert "<script>e</script>" in form.text
    nothing_fits = Form(render_launch_form(settings, Machine(0, 0), None))
    assert "<script>s</script>" in nothing_fits.text
    assert nothing_fits.tags.count("script") == 1


def test_every_question_is_named_for_a_screen_reader(settings: Settings) -> None:
    form = Form(render_launch_form(settings, LAPTOP, None))
    assert form.tags.count("fieldset") == form.tags.count("legend") == 2
    for radio in form.radios("size"):
        for attribute in ("aria-labelledby", "aria-describedby"):
            assert all(element in form.texts for element in str(radio[attribute]).split())
    assert form.tags.count("label") == len(form.inputs)
