"""stdout and stderr that are closed, full, without a reader, or of another encoding."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pplcnet.cli import main as command_line

CLI = Path(command_line.__file__).parent
posix_only = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


def _shell(line: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of bash in which `pplcnet` is this one."""
    function = 'pplcnet() { "$PYTHON" -m pplcnet "$@"; }\n'
    return subprocess.run(
        ["/bin/bash", "-c", function + line],
        env=os.environ | {"PYTHON": sys.executable} | environment,
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip


@posix_only
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("line", "code", "complaint"),
    [
        ("pplcnet models >&-", 2, b"error: stdout is closed, so there is nowhere to print"),
        ("pplcnet --version >&-", 2, b"error: stdout is closed"),
        ("pplcnet train --help >&-", 0, b""),
        ("pplcnet models --colour 2>&-", 2, b""),
        ("pplcnet models <&- >&- 2>&-", 2, b""),
        pytest.param("pplcnet models >/dev/full", 2, b"stdout: No space left", marks=needs_full),
        pytest.param("pplcnet models --colour 2>/dev/full", 2, b"", marks=needs_full),
        ("pplcnet models | true; exit ${PIPESTATUS[0]}", 0, b""),
        ("pplcnet models --json | head -c 5 >/dev/null; exit ${PIPESTATUS[0]}", 0, b""),
        ("pplcnet --help | true; exit ${PIPESTATUS[0]}", 0, b""),
        ("pplcnet tune --help | true; exit ${PIPESTATUS[0]}", 0, b""),
    ],
)
def test_a_stream_that_fails_gets_a_sentence_or_silence(
    line: str, code: int, complaint: bytes, unbuffered: str
) -> None:
    done = _shell(line, PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == code
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == bool(complaint)


@posix_only
def test_a_file_never_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from pplcnet.cli.streams import surviving_streams\n"
        "with surviving_streams(is_result=False) as has_stdout:\n"
        "    with open(sys.argv[1], 'wb') as file:\n"
        "        assert file.fileno() > 2 and not has_stdout\n"
        "        os.write(1, b'native'), os.write(2, b'native'), print('text')\n"
    )
    path = tmp_path / "file"
    done = _shell(f'"$PYTHON" -c "$CODE" \'{path}\' >&- 2>&-', CODE=code)
    assert done.returncode == 0
    assert path.read_bytes() == b""


@posix_only
def test_a_verb_that_writes_files_goes_on_without_a_reader(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from pplcnet.cli.streams import surviving_streams\n"
        "with surviving_streams(is_result=False):\n"
        "    for at in range(2000):\n"
        "        print('epoch', at, flush=True), print('bar', file=sys.stderr)\n"
        "    Path(sys.argv[1]).write_text('finished')\n"
    )
    path = tmp_path / "file"
    line = f'"$PYTHON" -c "$CODE" \'{path}\' 2>&1 | head -1; exit ${{PIPESTATUS[0]}}'
    done = _shell(line, CODE=code)
    assert done.returncode == 0
    assert path.read_text() == "finished"
    assert done.stdout == b"epoch 0\n"


@posix_only
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_message_survives_every_encoding(encoding: str) -> None:
    done = _shell("pplcnet inspect 'häuser 日本語'", PYTHONIOENCODING=encoding)
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: h")
    assert done.stderr.endswith(b": no such bundle." + os.linesep.encode())


@posix_only
def test_a_message_survives_the_c_locale() -> None:
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = _shell("pplcnet inspect 'häuser 日本語'", **plain)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)


@posix_only
@pytest.mark.parametrize(
    "line",
    [
        "pplcnet $'a\\e[31m\\nb'",
        "pplcnet models $'a\\e[31m\\nb'",
        "pplcnet inspect $'a\\e[31m\\nb'",
        "pplcnet predict $'a\\e[31m\\nb' $'a\\e[31m\\nb'",
        "pplcnet train $'a\\e[31m\\nb' --out new",
        "pplcnet check $'a\\e[31m\\nb'",
    ],
)
def test_no_verb_obeys_a_name(line: str, tmp_path: Path) -> None:
    done = _shell(f"cd '{tmp_path}'; {line}")
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert b"\x1b" not in done.stderr
    assert rb"a\x1b[31m\nb" in done.stderr


def test_verbs_print_through_the_guarded_functions_only() -> None:
    printing = [
        f"{path.name}:{node.lineno}"
        for path in CLI.glob("*.py")
        if path.name not in ("output.py", "console.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name) and node.id == "print"
    ]
    assert printing == []
