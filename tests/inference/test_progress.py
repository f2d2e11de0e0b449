"""What is shown of a fit, where and when."""

from __future__ import annotations

import io

import pytest

from glamm.inference import progress
from glamm.inference.progress import Reporter


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(reporter):
    for k in range(4):
        reporter(-100.0 + k, 10.0**-k, 100.0 ** (1 - k), (7,))
    reporter.close()


def test_a_line_an_iteration():
    stream = io.StringIO()
    run(Reporter(True, 1e-9, stream))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 4
    assert "log-likelihood -98.000000" in lines[2] and "points 7" in lines[2]
    assert "gradient  1.0e-02" in lines[2] and lines[2].endswith(" s")


def test_silent_when_asked(monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    stream = Terminal()
    run(Reporter(False, 1e-9, stream))
    assert stream.getvalue() == ""


def test_automatic_is_silent_off_a_terminal(monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    stream = io.StringIO()
    run(Reporter(None, 1e-9, stream))
    assert stream.getvalue() == ""


def test_automatic_is_silent_at_first():
    stream = Terminal()
    run(Reporter(None, 1e-9, stream))
    assert stream.getvalue() == ""


def test_plain_bar_on_a_terminal(monkeypatch):
    monkeypatch.setattr(progress.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    stream = Terminal()
    run(Reporter(None, 1e-9, stream))
    shown = stream.getvalue().split("\r")[1:]
    assert len(shown) == 4
    marks = [text.count("#") for text in shown]
    assert marks == sorted(marks) and marks[-1] > marks[0]


def test_callback_receives_each_iteration():
    seen = []
    reporter = Reporter(seen.append, 1e-9, io.StringIO())
    run(reporter)
    assert [step.number for step in seen] == [0, 1, 2, 3]
    assert seen == reporter.trace
    assert seen[1].gradient == pytest.approx(0.1)
