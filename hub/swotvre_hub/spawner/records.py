"""What the state folder keeps about sessions: the live ones, and what a user chose and met last.

JupyterHub's database holds the same for its own purposes, but ``user_options`` there are stored before they are
validated, and the state of a spawner is saved only after its start: too late for a hub that is killed meanwhile.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from swotvre_hub.spawner.identity import ProcessIdentity
from swotvre_hub.state import State


@dataclass(frozen=True)
class LiveSession:
    """A session that was started and whose end nobody has noticed yet."""

    session_id: str
    user_name: str
    server_name: str
    #: Its supervisor.
    process: ProcessIdentity
    port: int
    #: Numbers of its CPU cores.
    cores: list[int]
    #: Folder of its memory cgroup; empty: none.
    cgroup: str
    #: Name of its size.
    size: str
    #: Folder of its kernels' sockets; empty: none.
    runtime_folder: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: object) -> LiveSession | None:
        """Return the session that ``to_json`` wrote, or None when ``content`` is not one."""
        if not isinstance(content, dict):
            return None
        content = {"runtime_folder": "", **content}  # a hub before this one may not have known it
        if set(content) != set(cls.__dataclass_fields__):
            return None
        process = ProcessIdentity.from_json(content["process"])
        return None if process is None else cls(**{**content, "process": process})


@dataclass(frozen=True)
class History:
    """What a user's launch page is made from."""

    #: The last ``user_options`` that were valid.
    options: Mapping[str, object] | None = None
    #: How the last session ended, in words.
    last_end: str | None = None
    #: Why the session that runs now is about to be stopped, in words, when somebody said so.
    stop_reason: str | None = None


class SessionRecords:
    """The records of one installation, in ``run/sessions`` of the state folder."""

    def __init__(self, state: State) -> None:
        self.folder = state.run / "sessions"

    def ensure_folder(self) -> None:
        """Make the folder, which only this account may look into."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def end_record(self, session_id: str) -> Path:
        """Return the file in which the supervisor of a session says how it ended."""
        return self.folder / f"{session_id}.end.json"

    def add(self, session: LiveSession) -> None:
        """Keep that ``session`` was started."""
        self._write(self.folder / f"{session.session_id}.live.json", session.to_json())

    def remove(self, session_id: str) -> None:
        """Forget a session whose end was noticed."""
        for path in (self.folder / f"{session_id}.live.json", self.end_record(session_id)):
            path.unlink(missing_ok=True)

    def live(self) -> Iterator[LiveSession]:
        """Yield the sessions whose process still runs."""
        yield from (session for session in self.noted() if session.process.is_alive())

    def noted(self) -> Iterator[LiveSession]:
        """Yield the sessions that were started and not forgotten, whether they still run or not."""
        for path in sorted(self.folder.glob("*.live.json")):
            session = LiveSession.from_json(_read(path))
            if session is not None:
                yield session

    def history(self, user_name: str, server_name: str = "") -> History:
        """Return what is known of a user's last session."""
        content = _read(self._history_file(user_name, server_name))
        if not isinstance(content, dict):
            return History()
        options = content.get("options")
        texts = {key: value for key in ("last_end", "stop_reason") if isinstance(value := content.get(key), str)}
        return History(options if isinstance(options, dict) else None, **texts)

    def update_history(self, user_name: str, server_name: str = "", **changes: Any) -> None:
        """Change fields of a user's history: ``options``, ``last_end``, ``stop_reason``."""
        self._write(
            self._history_file(user_name, server_name), asdict(replace(self.history(user_name, server_name), **changes))
        )

    def _history_file(self, user_name: str, server_name: str) -> Path:
        return self.folder / f"{quote(user_name, safe='')}+{quote(server_name, safe='')}.history.json"

    def _write(self, path: Path, content: Mapping[str, Any]) -> None:
        self.ensure_folder()
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        partial.write_text(json.dumps(content), encoding="ascii")
        partial.replace(path)


def _read(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
