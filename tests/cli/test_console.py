"""Signs of life of long work, on a terminal and in a log."""

from __future__ import annotations

import io
import os
import re
import threading
import time
from types import SimpleNamespace

import pytest

from pplcnet.cli import console
from pplcnet.cli.console import Console, quiet_litert, without_chatter
from pplcnet.runtime.engines import engine
from pplcnet.system.progress import Watcher


class _Stream(io.StringIO):
    """A stream that tells when `awaited` has been written."""

    def __init__(self, awaited: str, terminal: bool) -> None:
        super().__init__()
        self.awaited, self.terminal, self.seen = awaited, terminal, threading.Event()

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str) -> int:
        written = super().write(text)
        if self.awaited in self.getvalue():
            self.seen.set()
        return written


def _shown_by(stream: _Stream, monkeypatch: pytest.MonkeyPatch, text: str = "loading Keras") -> str:
    monkeypatch.setattr("sys.stderr", stream)
    with Console().busy(text):
        assert stream.seen.wait(20)
    return stream.getvalue()


def test_a_terminal_gets_a_spinner_that_is_gone_at_the_end(monkeypatch) -> None:
    monkeypatch.setattr(console, "SPINNER_AFTER", 0.0)
    monkeypatch.setattr(console, "SPINNER_EVERY", 0.001)
    shown = _shown_by(_Stream("- loading Keras", terminal=True), monkeypatch)
    assert re.search(r"/ loading Keras \(\d+ s\)", shown)
    assert shown.endswith("\r")
    assert "\n" not in shown


def test_a_log_gets_a_plain_line_and_another_one_later(monkeypatch) -> None:
    monkeypatch.setattr(console, "LINE_AFTER", 0.0)
    monkeypatch.setattr(console, "LINE_EVERY", 0.001)
    shown = _shown_by(_Stream("still quantizing", terminal=False), monkeypatch, "quantizing")
    assert shown.startswith("quantizing\nstill quantizing (0 s)\n")


def test_chatter_is_kept_from_stderr_and_all_else_is_shown(capfd) -> None:
    with pytest.raises(ValueError, match="bad"), without_chatter("exporting"):  # noqa: PT012
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n")
        os.write(2, b"WARNING:absl:Please consider providing the trackable_obj\n")
        os.write(2, b"malloc(): invalid size\n")
        raise ValueError("bad")
    os.write(2, b"INFO: afterwards\n")
    assert capfd.readouterr().err == "malloc(): invalid size\nINFO: afterwards\n"


def test_the_note_of_litert_on_its_first_network_is_not_shown(capfd, monkeypatch) -> None:
    def open_engine(name: str, content: bytes) -> None:
        os.write(2, f"INFO: Created a delegate for {name} {content.decode()}.\n".encode())

    monkeypatch.setattr(engine, "open_engine", open_engine)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    variants = {"litert": {"file": "model.tflite"}}
    manifest = SimpleNamespace(variants=variants)
    quiet_litert(SimpleNamespace(manifest=manifest, read=lambda name: b"content"))
    assert capfd.readouterr().err == ""
    variants.clear()
    quiet_litert(SimpleNamespace(manifest=manifest))


@pytest.mark.parametrize(("error", "shown"), [(KeyboardInterrupt, ""), (OSError, "oneDNN\n")])
def test_the_notes_of_frameworks_are_shown_when_the_import_fails_but_not_when_it_is_stopped(
    capfd, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], shown: str
) -> None:
    def require(*_: str, **__: str) -> None:
        os.write(2, b"oneDNN\n")
        raise error

    monkeypatch.setattr(console, "require", require)
    with pytest.raises(error):
        console.quiet_frameworks()
    assert capfd.readouterr().err == shown


@pytest.mark.parametrize("terminal", [True, False])
def test_short_work_leaves_no_trace(monkeypatch, terminal: bool) -> None:
    monkeypatch.setattr(console, "SPINNER_AFTER", 3600.0)
    monkeypatch.setattr(console, "LINE_AFTER", 3600.0)
    stream = _Stream("", terminal)
    monkeypatch.setattr("sys.stderr", stream)
    with pytest.raises(ZeroDivisionError), Console().busy("opening the engine"):
        raise ZeroDivisionError
    assert stream.getvalue() == ""


def test_a_terminal_that_goes_away_does_not_end_the_work(monkeypatch) -> None:
    monkeypatch.setattr(console, "LINE_AFTER", 0.0)
    tried = threading.Event()

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            tried.set()
            raise BrokenPipeError

    monkeypatch.setattr("sys.stderr", Gone())
    with Console().busy("exporting"):
        assert tried.wait(20)


def test_the_library_alone_says_nothing(capfd) -> None:
    with Watcher().busy("loading Keras"):
        pass
    assert capfd.readouterr() == ("", "")


def test_a_pipe_without_a_reader_is_no_error(monkeypatch) -> None:
    monkeypatch.setattr(console, "LINE_AFTER", 0.0)
    reader, writer = os.pipe()
    os.close(reader)
    stderr = os.dup(2)
    os.dup2(writer, 2)
    try:
        with console.without_chatter("exporting"):
            os.write(2, b"INFO: a note\n")
            time.sleep(0.2)  # the line about exporting is written meanwhile
    finally:
        os.dup2(stderr, 2)
        for each in (stderr, writer):
            os.close(each)
