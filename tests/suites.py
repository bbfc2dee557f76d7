"""Suites of tests, each in an interpreter of its own, and what came of them."""

from __future__ import annotations

import subprocess
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]


@dataclass
class Tally:
    """What came of the tests so far."""

    counts: Counter[str] = field(default_factory=Counter)
    #: Skipped test -> its reason.
    skips: list[tuple[str, str]] = field(default_factory=list)
    #: Test that failed beside others and passed alone -> what it said when it failed.
    second_tries: list[tuple[str, str]] = field(default_factory=list)

    def read(self, report: Path, second: Path) -> None:
        """Add the tests of a JUnit ``report``; those that failed go by the report ``second``, where there is one."""
        if not report.exists():
            self.counts["failed"] += 1
            return
        again = {_name(case): case for case in _cases(second)} if second.exists() else {}
        for case in _cases(report):
            name, fault = _name(case), _fault(case)
            skip = case.find("skipped")
            if skip is not None:
                self.counts["skipped"] += 1
                self.skips.append((name, skip.get("message", "")))
            elif fault is None:
                self.counts["passed"] += 1
            elif name in again and _fault(again[name]) is None:
                self.counts["passed"] += 1
                self.second_tries.append((name, fault.get("message", "").partition("\n")[0]))
            else:
                self.counts["failed"] += 1

    def print(self) -> None:
        """Print the skips by reason and the tests that needed a second try, then one line that counts."""
        by_reason = Counter(reason for _, reason in self.skips)
        for reason, count in by_reason.most_common():
            print(f"skipped {count}: {reason}")
        for name, message in self.second_tries:
            print(f"failed beside other tests, passed alone: {name}: {message}")
        passed, failed, skipped = (self.counts[outcome] for outcome in ("passed", "failed", "skipped"))
        print(f"total: {passed} passed, {failed} failed, {skipped} skipped")


def _cases(report: Path) -> list[ET.Element]:
    return list(ET.parse(report).getroot().iter("testcase"))  # noqa: S314  (written by pytest a moment ago)


def _name(case: ET.Element) -> str:
    return f"{case.get('classname')}::{case.get('name')}"


def _fault(case: ET.Element) -> ET.Element | None:
    failure = case.find("failure")
    return failure if failure is not None else case.find("error")


@dataclass(frozen=True)
class Suite:
    """Tests that one interpreter runs, in a process of their own."""

    title: str
    python: Path
    paths: tuple[str, ...]

    def report(self, folder: Path, second: bool = False) -> Path:
        """Return the file of its JUnit report in ``folder``, or of that of its second try."""
        return folder / f"{self.paths[0].replace('/', '-')}{'-second' if second else ''}.xml"

    def faults(self, folder: Path) -> set[str]:
        """Return what its tests failed of: each failure is a fault; the errors of one fixture in many tests are one."""
        failed = {_name(case) for case in self._cases(folder) if case.find("failure") is not None}
        errors = [(case.get("classname"), case.find("error")) for case in self._cases(folder)]
        return failed | {f"{place}: {error.get('message')}" for place, error in errors if error is not None}

    def has_ended(self, folder: Path) -> bool:
        """Tell whether it came to an end, and told what came of its tests."""
        return self.report(folder).exists()

    def _cases(self, folder: Path) -> list[ET.Element]:
        return _cases(self.report(folder)) if self.has_ended(folder) else []

    def run(self, folder: Path, environment: Mapping[str, str], arguments: list[str], second: bool = False) -> int:
        """Run it, or what failed of it a second time; print what it says when it is over, and return its exit code."""
        report = self.report(folder, second)
        command = [self.python, "-m", "pytest", "-q", f"--junitxml={report}", "--durations=8"]
        command += ["-o", f"cache_dir={folder / self.report(folder).stem}"]  # one for each suite: they run side by side
        command += ["--last-failed", "--last-failed-no-failures=none"] if second else []
        print(f"== {self.title}: begun{', what failed, alone' if second else ''}", flush=True)
        began = time.monotonic()
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
            done = subprocess.run(
                [*map(str, command), *self.paths, *arguments],
                cwd=CHECKOUT, env=dict(environment), check=False, stdout=said, stderr=subprocess.STDOUT,
            )  # fmt: skip
            said.seek(0)
            minutes = (time.monotonic() - began) / 60
            print(f"\n== {self.title}: {minutes:.0f} minutes\n{said.read()}", flush=True)
        return done.returncode
