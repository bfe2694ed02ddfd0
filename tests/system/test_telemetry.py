"""Nothing is sent and nothing is written into the home folder, whichever engine runs."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    (platform.system(), platform.machine()) not in (("Linux", "x86_64"), ("Linux", "aarch64")),
    reason="the watch is a seccomp filter",
)

# The kernel ends a process that opens an internet socket, from Python, C++ or a child alike: what
# catches its own errors and sends in the background is seen all the same.
WATCHED = """
import ctypes, platform, struct, sys
calls = {"x86_64": (41, 0xC000003E), "aarch64": (198, 0xC00000B7)}
number, architecture = calls[platform.machine()]
LOAD, EQUAL, ANSWER, ALLOW, KILL = 0x20, 0x15, 0x06, 0x7FFF0000, 0x80000000
steps = [
    (LOAD, 0, 0, 4), (EQUAL, 0, 6, architecture), (LOAD, 0, 0, 0), (EQUAL, 0, 4, number),
    (LOAD, 0, 0, 16), (EQUAL, 1, 0, 2), (EQUAL, 0, 1, 10),
    (ANSWER, 0, 0, KILL), (ANSWER, 0, 0, ALLOW),
]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
filter = struct.pack("HL", len(steps), ctypes.addressof(program))
kernel = ctypes.CDLL(None, use_errno=True)
assert kernel.prctl(38, 1, 0, 0, 0) == 0 and kernel.prctl(22, 2, filter) == 0, ctypes.get_errno()
"""
PREDICT = """
from pplcnet import Classifier
classifier = Classifier(sys.argv[1], engine=sys.argv[2])
classifier.predict(sys.argv[3])
list(classifier.predict_many([sys.argv[3]] * 3))
"""
QUANTIZE = """
import numpy as np
from pathlib import Path
from pplcnet.exporting.int8 import quantize_content
content = (Path(sys.argv[1]) / "model.onnx").read_bytes()
quantize_content(content, np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8))
"""
AT_THE_END = """
import time
time.sleep(0.5)  # for what sends in the background
print("telemetry" if sys.modules.get("openvino_telemetry") else "quiet")
"""


def _run(code: str, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    home.mkdir()
    environment = {
        name: value
        for name, value in os.environ.items()
        if name
        not in ("CI", "NNCF_CI", "ORT_DISABLE_TELEMETRY", "PYTEST_CURRENT_TEST", "XDG_CACHE_HOME")
    }
    environment |= {"HOME": str(home), "PPLCNET_CACHE": str(home.parent / "cache")}
    return subprocess.run(
        [sys.executable, "-c", WATCHED + code + AT_THE_END, *arguments],
        env=environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def test_the_watch_ends_a_process_that_opens_a_socket(tmp_path: Path) -> None:
    for family in ("AF_INET", "AF_INET6"):
        code = f"import socket\nsocket.socket(socket.{family}, socket.SOCK_DGRAM)\n"
        assert _run(code, tmp_path / family).returncode == -signal.SIGSYS
    assert _run("import socket\nsocket.socketpair()\n", tmp_path / "local").returncode == 0


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_prediction_sends_nothing(
    engine: str, common_bundle: Path, common_photos: Path, tmp_path: Path
) -> None:
    pytest.importorskip(engine)
    photo = str(common_photos / "class_0" / "000.png")
    done = _run(PREDICT, tmp_path / "home", str(common_bundle), engine, photo)
    assert (done.returncode, done.stdout.strip()) == (0, "quiet"), done.stderr
    assert list((tmp_path / "home").rglob("*")) == []


def test_quantising_sends_nothing(common_bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    done = _run(QUANTIZE, tmp_path / "home", str(common_bundle))
    assert (done.returncode, done.stdout.strip()) == (0, "quiet"), done.stderr
    assert not (tmp_path / "home" / "intel").exists()


def test_a_program_that_has_imported_the_package_itself_keeps_it(tmp_path: Path) -> None:
    pytest.importorskip("openvino")  # which brings it
    code = (
        "import openvino_telemetry\nfrom pplcnet.system import telemetry\ntelemetry.switch_off()\n"
    )
    assert _run(code, tmp_path / "home").stdout.strip() == "telemetry"
