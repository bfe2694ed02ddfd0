"""`.pdparams`: what Paddle wrote is read; what is made to do anything else is refused."""

from __future__ import annotations

import collections
import os
import pickle
import signal
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pplcnet.errors import WeightsError
from pplcnet.weights.paddle import read_pdparams
from pplcnet.weights.pretrained import create_model
from tests.conformance import reference

STATE = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "bn._mean": np.array([1.5, -2.0], np.float64),
    "steps": np.array(7, np.int64),
}


def _write(path: Path, state: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(state, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("form", ["plain", "tuples", "ordered"])
def test_every_protocol_and_form(tmp_path: Path, protocol: int, form: str) -> None:
    state: object = STATE | {"StructuredToParameterName@@": {"conv.weight": "conv2d_0.w_0"}}
    if form == "tuples":
        state = {key: (f"name_{key}", value) for key, value in STATE.items()}
    elif form == "ordered":
        state = collections.OrderedDict(STATE)
    found = read_pdparams(_write(tmp_path / "w.pdparams", state, protocol))
    assert list(found) == list(STATE)
    for key, value in STATE.items():
        assert found[key].dtype == value.dtype
        np.testing.assert_array_equal(found[key], value)


def test_column_order_and_byte_order(tmp_path: Path) -> None:
    array = np.asfortranarray(np.arange(6, dtype=">f4").reshape(2, 3))
    found = read_pdparams(_write(tmp_path / "w.pdparams", {"a": array}))
    np.testing.assert_array_equal(found["a"], array)


def test_a_file_that_paddle_wrote_gives_the_originals_logits(shared: Path) -> None:
    file = shared / "reference/paddle_files/PPLCNet_x0_25_17classes.pdparams"
    expected = reference.load(shared, "pplcnet_x0_25")
    for height, width in expected.facts["checks"]:
        model = create_model(
            "pplcnet_x0_25", num_classes=17, image_size=(height, width), weights=file
        )
        logits = model(reference.images(height, width), training=False).numpy()
        wanted = expected.outputs[f"logits_{height}x{width}"]
        assert reference.relative_difference(logits, wanted) <= 1e-4


class _Runs:
    """Pickles to a call, as a malicious file would."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.call


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (os.system, ("touch executed",)),
        (eval, ("open('executed', 'w')",)),
        (getattr, ("", "join")),
        (np.zeros, (10,)),
        (pickle.loads, (b"",)),
        (np.load, ("x",)),
    ],
    ids=["os.system", "eval", "getattr", "numpy.zeros", "pickle.loads", "numpy.load"],
)
def test_a_file_with_code_does_not_run_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int, function, arguments
) -> None:
    monkeypatch.chdir(tmp_path)
    path = _write(tmp_path / "w.pdparams", {"a": _Runs(function, *arguments)}, protocol)
    with pytest.raises(WeightsError, match="it refers to"):
        read_pdparams(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not a readable"),
        (b"not a pickle", "not a readable"),
        (pickle.dumps([1, 2]), "holds a list"),
        (pickle.dumps({"a": "text"}), "'a' is a str"),
        (pickle.dumps({1: np.zeros(2)}), "the entry 1"),
        (pickle.dumps({"a": np.array(["x"], dtype=object)}), "not accepted"),
        (b"\x80\x02Pos.system\n.", "PERSID"),
        (b"\x80\x04r\xff\xff\xff\x7f.", "not a readable"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "not a readable"),
    ],
)
def test_anything_but_a_state_dict_is_refused(
    tmp_path: Path, content: bytes, complaint: str
) -> None:
    path = tmp_path / "w.pdparams"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=complaint) as caught:
        read_pdparams(path)
    assert str(path) in str(caught.value)


def _text(value: bytes) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value


def _encoded(count: int) -> bytes:
    """A memoised string of a megabyte, turned into bytes `count` times."""
    parts = [
        _text(b"a" * (1 << 20)),
        b"q\x000c_codecs\nencode\nq\x010",
        _text(b"latin1"),
        b"q\x020",
    ]
    return b"\x80\x02](" + b"".join(parts) + b"h\x01h\x00h\x02\x86R" * count + b"e."


def _arrays(count: int) -> bytes:
    """The same megabyte as `count` arrays."""
    content = pickle.dumps({"a": np.zeros(1 << 18, np.float32)}, protocol=5)
    names = b"".join(_text(f"n{at}".encode()) + b"h\x63" for at in range(count))
    return content[:-2] + b"q\x63s(" + names + b"u."


HOSTILE = {
    "tuples by BINGET": b"\x80\x02}K\x01" + b"q\x00h\x00\x86" * 60 + b"K\x01s.",
    "tuples by DUP": b"\x80\x02}K\x01" + b"2\x86" * 60 + b"K\x01s.",
    "tuples with POP": b"\x80\x02}K\x01q\x000" + b"h\x00h\x00\x86q\x000" * 60 + b"h\x00K\x01s.",
    "lists in lists": b"\x80\x02" + b"]" * 60 + b"a" * 59 + b".",
    "a list in itself": b"\x80\x02]" + b"q\x00h\x00a" * 60 + b".",
    "a tuple as a key": b"\x80\x02}K\x01\x85K\x01s.",
    "a million instructions": b"\x80\x02" + b"N0" * 500_000 + b"N.",
    "a string encoded 3000 times": _encoded(3000),
    "an array under 1000 names": _arrays(1000),
    "an ordered dictionary of a list": b"\x80\x02ccollections\nOrderedDict\n]"
    b"(K\x01K\x02\x86e\x85R.",
    "a set": b"\x80\x04\x8f(K\x01\x90.",
    "a frozen set": b"\x80\x04(K\x01\x91.",
    "a number of a million bytes": b"\x80\x02\x8b" + struct.pack("<i", 1_000_000)
    + b"\x7f" * 1_000_000 + b".",
    "a number of 100,000 digits": b"I" + b"9" * 100_000 + b"\n.",
    "a long name": b"\x80\x02c" + b"m" * 100_000 + b"\nname\n.",
    "values from below a mark": b"\x80\x02}K\x01(s.",
    "no end": b"\x80\x02}",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_costs_no_more_than_its_size_allows(tmp_path: Path, name: str) -> None:
    path = tmp_path / "w.pdparams"
    path.write_bytes(HOSTILE[name])
    tracemalloc.start()
    signal.signal(signal.SIGALRM, _hangs)
    signal.alarm(20)
    try:
        with pytest.raises(WeightsError) as caught:
            read_pdparams(path)
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
        assert len(str(caught.value)) < 1000
    finally:
        signal.alarm(0)
        tracemalloc.stop()


def _hangs(*_: object) -> None:
    raise AssertionError("it hangs")


@pytest.mark.parametrize("kind", ["fifo", "folder", "too large"])
def test_only_regular_files_of_limited_size_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "w.pdparams"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        with path.open("wb") as file:
            file.truncate(1 << 40)
    with pytest.raises(WeightsError, match=r"is not a regular file|at most 1,073,741,824"):
        read_pdparams(path)


def test_an_absent_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be read"):
        read_pdparams(tmp_path / "absent.pdparams")


def test_a_small_file_cannot_claim_much_memory(tmp_path: Path) -> None:
    content = pickle.dumps({"a": np.zeros(4, np.float32)}, protocol=2)
    path = tmp_path / "w.pdparams"
    # The shape (4,) in the pickle becomes one of two thousand million.
    path.write_bytes(content.replace(b"K\x04", b"J\x00\x94\x35\x77", 1))
    tracemalloc.start()
    try:
        with pytest.raises(WeightsError):
            read_pdparams(path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from([2, 3, 4, 5]), st.data())
def test_any_damage_ends_in_arrays_or_one_clear_error(
    tmp_path_factory: pytest.TempPathFactory, protocol: int, data
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.pdparams"
    content = bytearray(pickle.dumps(STATE, protocol=protocol))
    for _ in range(data.draw(st.integers(0, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
    try:
        found = read_pdparams(path)
    except WeightsError:
        return
    assert all(isinstance(each, np.ndarray) for each in found.values())


def test_a_file_cannot_change_what_arrays_are_made_by(tmp_path: Path) -> None:
    # The reader's own function, then BUILD with attributes for it.
    content = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nN}X\x05\x00\x00\x00_makeK\x01s\x86b."
    (tmp_path / "w.pdparams").write_bytes(content)
    with pytest.raises(WeightsError):
        read_pdparams(tmp_path / "w.pdparams")
    assert list(read_pdparams(_write(tmp_path / "v.pdparams", STATE))) == list(STATE)
