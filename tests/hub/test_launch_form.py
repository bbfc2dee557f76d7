"""The launch page as HTML: sizes, what this machine cannot hold, what is preselected."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from swotvre_hub.cluster_view import ClusterState
from swotvre_hub.engines.base import Cluster, Node
from swotvre_hub.launch_form import LaunchOffer, make_offer, render_launch_form
from swotvre_hub.machine import Machine
from swotvre_hub.sessions import BatchChoices, parse_session_request
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
        return [one for one in self.inputs if one["name"] == name and "form" not in one]

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
  start_timeout_seconds: 60, per_user: 3, fork_server: true}
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
  start_timeout_seconds: 60, per_user: 3, fork_server: true}
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
  start_timeout_seconds: 60, per_user: 3, fork_server: true}
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


# -- with a batch system: what it offers comes from the cluster as it was seen last -----------------------------------

#: A node of the queue ``day`` that is half free, and a small free one of the queue ``short``.
NODES = (
    Node("n1", True, 16, 4, 128 * GIB, 40 * GIB, queues=frozenset({"day"})),
    Node("n2", True, 4, 4, 32 * GIB, 32 * GIB, queues=frozenset({"short"})),
)
QUEUES = BatchChoices(("day", "short"), (), {"short": timedelta(hours=1)})


def offer(
    choices: BatchChoices = QUEUES,
    age_seconds: float | None = 12,
    settings: Settings = DEFAULTS,
    nodes: tuple[Node, ...] = NODES,
) -> LaunchOffer:
    return make_offer(settings, ClusterState(Cluster(nodes)), choices, "PBS", age_seconds)


def batch_form(
    offered: LaunchOffer, last: object = None, last_end: str | None = None, settings: Settings = DEFAULTS
) -> Form:
    return Form(render_launch_form(settings, TINY, last, last_end, offer=offered))  # type: ignore[arg-type]


def test_a_card_says_what_would_happen_now() -> None:
    form = batch_form(offer(BatchChoices()))
    assert form.words("size-small-about").endswith("Starts now Up to 12 hours")
    assert "Waits At most 4 cores are free on one node." in form.words("size-large-about")
    assert "vre-card-now-wait" in form.html
    assert "This machine" not in form.text


def test_a_size_that_no_node_holds_is_disabled_and_says_why() -> None:
    form = batch_form(offer(BatchChoices(), nodes=NODES[1:]))
    assert form.disabled("size") == ["large", "xlarge"]
    assert "Does not fit any node It needs 8 cores, 64 GiB on one node" in form.words("size-large-about")


def test_the_page_says_how_old_its_knowledge_is() -> None:
    assert "Seen 12 s ago in PBS." in " ".join(batch_form(offer()).text.split())


@pytest.mark.parametrize(
    ("age_seconds", "words"), [(600, "Its last answer came 10 minutes ago"), (None, "does not answer")]
)
def test_a_scheduler_that_does_not_answer_is_told_and_nothing_starts_now(age_seconds: float | None, words: str) -> None:
    form = batch_form(offer(BatchChoices(), age_seconds))
    text = " ".join(form.text.split())
    assert "PBS does not answer at present." in text
    assert words in text
    assert "Starts now" not in text
    assert "Not known at present" in form.words("size-small-about")
    assert "Seen" not in text


def test_a_cluster_that_was_never_seen_disables_nothing() -> None:
    form = batch_form(offer(BatchChoices(), None, nodes=()))
    assert form.disabled("size") == []
    assert form.chosen("size") == "small"


def test_no_queue_and_no_project_is_asked_for_where_there_is_no_choice() -> None:
    form = batch_form(offer(BatchChoices()))
    assert (form.values("queue"), form.values("project"), form.tags.count("select")) == ([], [], 0)


def test_the_only_queue_and_project_are_sent_without_a_question() -> None:
    form = batch_form(offer(BatchChoices(("short",), ("ocean",), {"short": timedelta(hours=1)})))
    assert [(one["type"], one["value"]) for one in form.radios("queue")] == [("hidden", "short")]
    assert [(one["type"], one["value"]) for one in form.radios("project")] == [("hidden", "ocean")]
    assert (form.values("walltime_hours"), form.chosen("walltime_hours")) == (["1"], "1")


def test_queues_are_offered_with_what_each_of_them_means_for_a_size() -> None:
    form = batch_form(offer())
    assert (form.values("queue"), form.chosen("queue")) == (["day", "short"], "day")
    assert [one["data-max-hours"] for one in form.radios("queue")] == ["", "1"]
    by_queue = {one["value"]: json.loads(str(one["data-by-queue"])) for one in form.radios("size")}
    assert {queue: now["kind"] for queue, now in by_queue["large"].items()} == {"day": "wait", "short": "never"}
    assert by_queue["small"]["short"]["longest"] == "1 hour"


def test_a_queue_shorter_than_every_duration_offers_its_longest() -> None:
    form = batch_form(offer(BatchChoices(("short",), (), {"short": timedelta(minutes=10)})))
    hours = form.chosen("walltime_hours")
    choices = BatchChoices(("short",), (), {"short": timedelta(minutes=10)})
    request = parse_session_request({"size": "small", "walltime_hours": hours}, DEFAULTS, SERVER, choices)
    assert "10 minutes" in form.text
    assert request.walltime <= timedelta(minutes=10)


def test_the_last_queue_and_project_are_preselected() -> None:
    choices = BatchChoices(("day", "short"), ("hydro", "ocean"), {})
    form = batch_form(offer(choices), {"size": "small", "walltime_hours": 1, "queue": "short", "project": "ocean"})
    assert form.chosen("queue") == "short"
    assert '<option value="ocean" selected>' in form.html


@pytest.mark.parametrize("queue", ["gone", 7, None, ["day"], "<script>"])
def test_a_last_queue_that_is_not_offered_gives_way_to_the_first(queue: object) -> None:
    assert batch_form(offer(), {"size": "small", "queue": queue}).chosen("queue") == "day"


def test_a_queue_that_holds_no_size_is_not_preselected() -> None:
    nodes = (Node("old", True, 1, 1, GIB, GIB, queues=frozenset({"day"})), NODES[1])
    assert batch_form(offer(nodes=nodes), {"size": "small", "queue": "day"}).chosen("queue") == "short"


def test_the_last_choice_can_be_started_again_under_the_end_of_the_last_session() -> None:
    last = {"size": "medium", "walltime_hours": "2", "queue": "day"}
    form = batch_form(offer(), last, "Your last session ended.")
    again = {one["name"]: one["value"] for one in form.inputs if one.get("form") == "start-again"}
    assert again == {"size": "medium", "walltime_hours": "2.0", "queue": "day"}
    assert "Start again with the same choice" in form.text


@pytest.mark.parametrize(
    "last",
    [
        {"size": "gone"},
        {"size": "large", "queue": "short", "walltime_hours": 1},
        {"size": "small", "queue": "short", "walltime_hours": 4},
        {"size": "small", "queue": "gone"},
        None,
    ],
)
def test_a_last_choice_that_is_not_valid_today_cannot_be_started_again(last: object) -> None:
    form = batch_form(offer(), last, "Your last session ended.")
    assert "Your last session ended." in form.text
    assert "Start again" not in form.text


def test_when_no_node_holds_any_size_the_page_says_so() -> None:
    nodes = (Node("old", True, 1, 1, GIB, GIB),)
    form = batch_form(offer(BatchChoices(), nodes=nodes))
    assert "every size needs more than any node of the cluster has" in " ".join(form.text.split())
    assert "button" not in form.tags


def test_gpus_stand_on_the_card(tmp_path: Path) -> None:
    settings = site_settings(
        tmp_path,
        """
engine: pbs
auth: {login: pam, user_name_pattern: ".*", admins: []}
batch: {commands: /opt/pbs/bin, hub_address: hub, hub_port: 8081, ports: 20000-29999, lab: /opt/lab, tls: true}
sizes:
  small: {title: Small, cores: 1, memory_gib: 1, max_walltime_hours: 12, good_for: ""}
  gpu: {title: GPU, cores: 8, memory_gib: 64, gpus: 1, max_walltime_hours: 12, good_for: "Machine learning"}
""",
    )
    nodes = (Node("g1", True, 16, 16, 128 * GIB, 128 * GIB, gpus=2, free_gpus=0),)
    form = batch_form(offer(BatchChoices(), settings=settings, nodes=nodes), settings=settings)
    assert form.words("size-gpu-holds") == "8 cores 64 GiB memory 1 GPU"
    assert form.words("size-small-holds") == "1 core 1 GiB memory"
    assert "No GPU is free on any node." in form.words("size-gpu-about")


def test_names_of_queues_and_projects_are_escaped() -> None:
    odd = "<script>q</script>"
    form = batch_form(offer(BatchChoices((odd, "day"), (odd, "ocean"), {})))
    assert form.tags.count("script") == 1
    assert odd in form.values("queue")


@hypothesis_settings(deadline=None)
@given(
    last=st.fixed_dictionaries(
        {},
        optional={
            "size": st.sampled_from([*DEFAULTS.sizes, "gone"]),
            "walltime_hours": st.one_of(st.floats(), st.integers(), st.text()),
            "queue": st.sampled_from(["day", "short", "gone"]),
            "project": st.sampled_from(["ocean", "gone"]),
        },
    ),
    minutes=st.integers(2, 3000),
)
def test_what_is_preselected_would_be_accepted_by_the_batch_system(last: object, minutes: int) -> None:
    choices = BatchChoices(("day", "short"), ("ocean",), {"short": timedelta(minutes=minutes)})
    form = batch_form(offer(choices), last)
    chosen = {name: form.chosen(name) for name in ("size", "walltime_hours", "queue")}
    request = parse_session_request(chosen, DEFAULTS, SERVER, choices)
    assert request.size_name not in form.disabled("size")
