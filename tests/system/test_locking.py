"""One writer at a time, and nothing left behind."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pplcnet.errors import InputError
from pplcnet.system.locking import LOCK_FILE, locked

HOLD = """
import sys, time
from pplcnet.system.locking import locked
with locked(sys.argv[1], is_file=len(sys.argv) > 2):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def held_elsewhere(tmp_path: Path):
    """Start processes that hold a place; all of them end with the test."""
    started = []

    def hold(place: Path, *more: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(place), *more], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_place_in_use_names_the_process_that_uses_it(tmp_path: Path, held_elsewhere) -> None:
    other = held_elsewhere(tmp_path / "run")
    named = rf"run: is in use by .*\(pid {other.pid}\)"
    with pytest.raises(InputError, match=named), locked(tmp_path / "run"):
        pass


def test_a_link_to_a_place_in_use_is_in_use(tmp_path: Path, held_elsewhere) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "run", target_is_directory=True)
    held_elsewhere(tmp_path / "run")
    with pytest.raises(InputError, match="is in use"), locked(tmp_path / "link"):
        pass


def test_a_file_being_written_is_in_use(tmp_path: Path, held_elsewhere) -> None:
    held_elsewhere(tmp_path / "m.zip", "file")
    with pytest.raises(InputError, match="is in use"), locked(tmp_path / "m.zip", is_file=True):
        pass
    with locked(tmp_path / "other.zip", is_file=True):
        pass


def test_a_killed_process_leaves_no_lock(tmp_path: Path, held_elsewhere) -> None:
    other = held_elsewhere(tmp_path / "run")
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert (tmp_path / "run" / LOCK_FILE).exists()
    with locked(tmp_path / "run"):
        pass
    assert not (tmp_path / "run" / LOCK_FILE).exists()


def test_waiting_gets_the_lock_once_the_other_process_ends(tmp_path: Path, held_elsewhere) -> None:
    other = held_elsewhere(tmp_path / "run")
    threading.Timer(0.2, other.kill).start()
    with locked(tmp_path / "run", wait=30):
        assert (tmp_path / "run" / LOCK_FILE).read_text() == str(os.getpid())


def test_the_same_thread_may_enter_again(tmp_path: Path) -> None:
    with locked(tmp_path), locked(tmp_path / "." / "sub" / ".."):
        pass
    with locked(tmp_path):
        with locked(tmp_path):
            pass
        assert (tmp_path / LOCK_FILE).exists()
    assert list(tmp_path.iterdir()) == []


def test_another_thread_may_not_enter(tmp_path: Path) -> None:
    refused = []

    def enter() -> None:
        try:
            with locked(tmp_path):
                pass
        except InputError as error:
            refused.append(error)

    with locked(tmp_path):
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
    assert len(refused) == 1


def test_one_of_many_processes_enters_at_a_time(tmp_path: Path) -> None:
    count = """
import sys
from pathlib import Path
from pplcnet.system.locking import locked
total = Path(sys.argv[1]) / "total"
for _ in range(40):
    with locked(sys.argv[1], wait=60):
        total.write_text(str(int(total.read_text()) + 1))
"""
    (tmp_path / "total").write_text("0")
    workers = [subprocess.Popen([sys.executable, "-c", count, str(tmp_path)]) for _ in range(3)]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    assert (tmp_path / "total").read_text() == "120"


def test_a_forked_child_holds_nothing(tmp_path: Path) -> None:
    with locked(tmp_path):
        child = os.fork()
        if not child:
            try:
                with locked(tmp_path):
                    os._exit(1)
            except InputError:
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_forked_child_that_leaves_the_block_leaves_the_lock_to_its_parent(tmp_path: Path) -> None:
    child = 0
    try:
        with locked(tmp_path):
            child = os.fork()
            if not child:
                raise SystemExit  # as sys.exit does anywhere in a forked child
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert (tmp_path / LOCK_FILE).exists()
    finally:
        if not child:
            os._exit(0)


def test_a_new_folder_that_stays_empty_is_removed(tmp_path: Path) -> None:
    with locked(tmp_path / "runs" / "first"):
        pass
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path / "runs" / "first"):
        (tmp_path / "runs" / "first" / "file").touch()
    assert (tmp_path / "runs" / "first" / "file").exists()


def test_a_place_that_cannot_be_written_to_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written to"), locked(tmp_path / "file" / "run"):
        pass


def test_a_full_disk_does_not_refuse_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", no_space)
    with locked(tmp_path):
        assert (tmp_path / LOCK_FILE).exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_what_lies_where_the_lock_file_goes_is_named(tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        (tmp_path / LOCK_FILE).mkdir()
    else:
        (tmp_path / LOCK_FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="in the place of the lock file"), locked(tmp_path):
        pass
    assert not (tmp_path / "elsewhere").exists()
