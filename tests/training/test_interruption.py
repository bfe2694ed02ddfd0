"""Signals stop a run between two steps, and say which of them it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from pplcnet.training.interruption import (
    StoppedBySignal,
    interrupts_deferred,
    signal_of,
    signals_stop,
)

ENDS = [signal.SIGTERM, signal.SIGHUP]


def _send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def _same_handlers():
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, *ENDS)}
    yield
    assert {each: signal.getsignal(each) for each in before} == before


@pytest.mark.parametrize("number", ENDS)
def test_a_signal_stops_the_work_as_ctrl_c_does(number: int) -> None:
    with pytest.raises(KeyboardInterrupt) as caught, signals_stop():  # noqa: PT012
        _send(number)
        raise AssertionError("it goes on")
    assert isinstance(caught.value, StoppedBySignal)
    assert signal_of(caught.value) == number
    assert signal_of(KeyboardInterrupt()) == signal.SIGINT


@pytest.mark.parametrize("number", [signal.SIGINT, *ENDS])
def test_the_first_signal_waits_for_the_step(number: int, capfd: pytest.CaptureFixture) -> None:
    with signals_stop(), interrupts_deferred() as interrupted:
        assert not interrupted()
        _send(number)
        assert interrupted() == number
    assert "finishing this step" in capfd.readouterr().err


def test_a_second_ctrl_c_stops_within_the_step() -> None:
    with pytest.raises(KeyboardInterrupt), interrupts_deferred() as interrupted:  # noqa: PT012
        _send(signal.SIGTERM)
        assert interrupted() == signal.SIGTERM
        _send(signal.SIGINT)


@pytest.mark.parametrize("context", ["signals_stop", "interrupts_deferred"])
@pytest.mark.parametrize("number", ENDS)
def test_a_second_signal_ends_the_process_at_once(context: str, number: int) -> None:
    code = (
        "import os, sys\n"
        f"from pplcnet.training.interruption import {context}\n"
        f"with {context}():\n"
        "    for _ in range(2):\n"
        "        try: os.kill(os.getpid(), int(sys.argv[1]))\n"
        "        except KeyboardInterrupt: pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(number)], check=False, timeout=60)
    assert done.returncode == -number


@pytest.mark.parametrize("number", [signal.SIGINT, *ENDS])
def test_what_nohup_ignores_stays_ignored(number: int) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with signals_stop(), interrupts_deferred() as interrupted:
            _send(number)
            assert not interrupted()
    finally:
        signal.signal(number, before)


def test_other_threads_leave_the_handlers_alone() -> None:
    seen = []

    def work() -> None:
        with signals_stop(), interrupts_deferred() as interrupted:
            seen.append((interrupted(), signal.getsignal(signal.SIGTERM)))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(0, before)]
