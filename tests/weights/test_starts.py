"""What training starts from, with servers and files in every condition."""

from __future__ import annotations

import threading
import time
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from pplcnet.errors import WeightsError
from pplcnet.system.cache import cache_folder
from pplcnet.weights import starts
from pplcnet.weights.downloading import HASTY
from pplcnet.weights.starts import Start, find_start
from tests.weights.download_server import CONTENT, NUMBERS, SOURCE, Handler, state_dict

NAME = SOURCE.network


def test_official_weights_are_fetched_once_and_then_cached(server: ThreadingHTTPServer) -> None:
    assert find_start(NAME, "auto") == Start("auto", "imagenet")
    assert find_start(NAME, "auto") == Start("auto", "imagenet")
    assert len(server.asked) == 1


def test_cached_weights_are_used_offline(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_start(NAME, "imagenet")
    monkeypatch.setenv("PPLCNET_OFFLINE", "1")
    assert find_start(NAME, "auto").weights == "imagenet"


FAILURES = {
    "404": (lambda h, turn: h.send_error(404), "the server answered 404"),
    "503": (lambda h, turn: h.send_error(503), "the server answered 503"),
    "an error page": (lambda h, turn: h.send_file(b"<html>", kind="text/html"), "a web page"),
    "hangs up": (lambda h, turn: h.connection.close(), "cannot be downloaded"),
    "cut off": (lambda h, turn: h.send_file(CONTENT[:9], length=9), "not a complete weights file"),
    "another network": (lambda h, turn: h.send_file(state_dict(NUMBERS * 2)), "482,000 numbers"),
}


@pytest.mark.parametrize(("behave", "complaint"), FAILURES.values(), ids=FAILURES)
def test_a_server_without_the_file_is_asked_once_and_the_shipped_backbone_taken(
    server: ThreadingHTTPServer, shipped_backbone: Path, behave, complaint: str
) -> None:
    server.behave = behave
    start = find_start(NAME, "auto")
    assert (start.asked, start.weights) == ("auto", "fractal")
    assert complaint in start.reason
    assert len(server.asked) == 1
    target = cache_folder() / "weights" / SOURCE.file_name
    assert f"save it as {target}" in start.describe()
    assert start.describe().startswith(
        "fractal, the backbone that ships with pplcnet; the official weights "
    )


@pytest.mark.parametrize("place", ["http://127.0.0.1:9", "http://name.invalid", "ftp://127.0.0.1"])
def test_without_a_connection_the_shipped_backbone_is_taken(
    server: ThreadingHTTPServer,
    shipped_backbone: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    monkeypatch.setattr(starts, "HASTY", HASTY._replace(head_s=1.0))
    monkeypatch.setenv("PPLCNET_MIRROR", place)
    assert find_start(NAME, "auto").weights == "fractal"


@pytest.mark.parametrize("part", ["head", "body"])
def test_a_server_or_proxy_that_hangs_is_given_up(
    server: ThreadingHTTPServer,
    shipped_backbone: Path,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
) -> None:
    monkeypatch.setattr(starts, "HASTY", HASTY._replace(head_s=0.3, period_s=0.3))
    ended = threading.Event()

    def hang(handler: Handler, turn: int) -> None:
        if part == "body":
            handler.send_head(0, 9)
            handler.end_headers()
        ended.wait(20)

    server.behave = hang
    if part == "head":  # every address is asked for through the proxy
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("PPLCNET_MIRROR", "http://weights.invalid")
    try:
        start = find_start(NAME, "auto")
    finally:
        ended.set()
    assert start.weights == "fractal"
    assert "no response within 0.3" in start.reason or "arrived in 0.3 seconds" in start.reason


def test_the_deadlines_end_within_seconds() -> None:
    assert HASTY.attempts == 1
    assert HASTY.head_s <= 5
    assert HASTY.period_s <= 10


def test_a_damaged_file_in_the_cache_is_not_used(
    server: ThreadingHTTPServer, shipped_backbone: Path
) -> None:
    find_start(NAME, "auto")
    (cache_folder() / "weights" / SOURCE.file_name).write_bytes(CONTENT[:-1] + b"?")
    start = find_start(NAME, "auto")
    assert start.weights == "fractal"
    assert "delete it to download it again" in start.describe()


def test_a_cache_that_cannot_be_written_to_is_no_obstacle(
    server: ThreadingHTTPServer, shipped_backbone: Path, tmp_path: Path, monkeypatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PPLCNET_CACHE", str(tmp_path / "file"))
    start = find_start(NAME, "auto")
    assert start.weights == "fractal"
    assert "cannot be written to" in start.reason


def test_another_process_that_downloads_is_waited_for(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(handler: Handler, turn: int) -> None:
        time.sleep(0.3)
        handler.send_file(CONTENT)

    server.behave = slow
    first = threading.Thread(target=find_start, args=(NAME, "auto"))
    first.start()
    while not server.asked:
        time.sleep(0.01)
    assert find_start(NAME, "auto").weights == "imagenet"
    first.join()
    assert len(server.asked) == 1


def test_a_network_without_a_backbone_starts_from_random_values(shipped_backbone: Path) -> None:
    start = find_start("ghostnet_x0_5", "auto")
    assert (start.asked, start.weights) == ("auto", None)
    assert "PPLCNET_OFFLINE is set" in start.reason
    assert start.describe().startswith("random values; the official weights would be better, but ")
    assert start.describe().endswith(f"there are some for {NAME}.")


def test_what_is_demanded_is_had_or_an_error(shipped_backbone: Path) -> None:
    with pytest.raises(WeightsError, match="PPLCNET_OFFLINE"):
        find_start(NAME, "imagenet")
    with pytest.raises(WeightsError, match="no 'fractal' backbone"):
        find_start("ghostnet_x0_5", "fractal")
    assert find_start(NAME, "fractal") == Start("fractal", "fractal")
    assert find_start(NAME, None).describe() == "random values (weights=none)"


def test_a_record_of_any_kind_is_read() -> None:
    start = Start("auto", "fractal", "because")
    assert Start.from_facts(start.facts(), None) == start
    assert Start.from_facts(None, "w.npz") == Start("w.npz", "w.npz")
    assert Start.from_facts({"weights": [1], "asked": {}}, None).weights == "[1]"
    assert Start.of_provenance({"weights": {"file": "converted.pdparams"}}) is None


def test_a_file_by_pretrain_is_named_as_such_even_after_it_is_gone(shipped_backbone: Path) -> None:
    start = find_start(NAME, str(shipped_backbone))
    shipped_backbone.unlink()
    again = Start.from_facts(start.facts(), None)
    assert again.has_seen_formulas
    assert again.describe() == f"{shipped_backbone}, a backbone from 'pplcnet pretrain'"
