"""The plan: every name once, in order, in shards that can be read again."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pplcnet.errors import InputError
from pplcnet.jobs import plan as planning
from pplcnet.jobs.plan import photos_of, plan_shards, read_shards
from pplcnet.jobs.storage import Folder

NAMES = [f"folder {number % 7}/{number:05d}.jpg".encode() for number in range(1000)]
ODD = [b"a b.jpg", b"a\nb.jpg", "naïve.jpg".encode(), b"100%.jpg", b"#1.jpg", b"\xff\xfe.jpg"]


@pytest.fixture
def small_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few names in memory and few shards in a file, so that all of it is merged and cut."""
    monkeypatch.setattr(planning, "RUN_NAMES", 30)
    monkeypatch.setattr(planning, "MOST_RUNS", 4)
    monkeypatch.setattr(planning, "SHARDS_A_FILE", 3)


@pytest.mark.usefixtures("small_runs")
def test_names_that_come_in_any_order_are_sorted_and_cut(tmp_path: Path) -> None:
    names = NAMES + ODD
    random.Random(1).shuffle(names)
    storage = Folder(tmp_path)
    plan = plan_shards(names, storage, shard_photos=40, is_sorted=True)
    assert (plan.photos, plan.shards) == (len(names), 26)
    shards = list(read_shards(storage, plan, range(plan.shards)))
    assert [name for shard in shards for name in shard.names] == sorted(names)
    assert [len(shard.names) for shard in shards] == [40] * 25 + [6]
    assert [shard.number for shard in read_shards(storage, plan, [2, 3, 25])] == [2, 3, 25]


@pytest.mark.parametrize("photos", [100, 250, 251, 1750, 3749, 3750, 6000])
def test_the_first_shards_are_smaller_and_the_photos_of_each_share_are_known(
    photos: int, tmp_path: Path
) -> None:
    storage = Folder(tmp_path)
    names = (str(number).encode() for number in range(photos))
    plan = plan_shards(names, storage, shard_photos=2000, is_sorted=False)
    sizes = [len(shard.names) for shard in read_shards(storage, plan, range(plan.shards))]
    full = [250, 500, 1000, 2000, 2000, 2000][: plan.shards - 1]
    assert sizes == [*full, photos - sum(full)]
    for first in range(3):
        share = range(first, plan.shards, 3)
        assert photos_of(plan, 2000, share) == sum(sizes[number] for number in share)


def test_a_list_keeps_its_order_and_its_repeated_names(tmp_path: Path) -> None:
    names = [b"b", b"a", b"b", b"c"]
    plan = plan_shards(names, Folder(tmp_path), shard_photos=3, is_sorted=False)
    shards = list(read_shards(Folder(tmp_path), plan, range(2)))
    assert [shard.names for shard in shards] == [[b"b", b"a", b"b"], [b"c"]]


@pytest.mark.usefixtures("small_runs")
def test_a_limit_takes_the_first_names_of_the_order(tmp_path: Path) -> None:
    plan = plan_shards(reversed(NAMES), Folder(tmp_path), shard_photos=10, is_sorted=True, limit=15)
    shards = list(read_shards(Folder(tmp_path), plan, range(plan.shards)))
    assert [name for shard in shards for name in shard.names] == sorted(NAMES)[:15]


def test_the_digest_depends_on_names_order_and_size_of_shards(tmp_path: Path) -> None:
    def digest(names: list[bytes], size: int = 2) -> str:
        return plan_shards(names, Folder(tmp_path), shard_photos=size, is_sorted=False).digest

    assert digest([b"a", b"b"]) == digest([b"a", b"b"])
    others = [digest([b"b", b"a"]), digest([b"a", b"b"], 1), digest([b"ab"]), digest([b"a", b"c"])]
    assert digest([b"a", b"b"]) not in others


def test_a_plan_whose_file_is_gone_says_so(tmp_path: Path) -> None:
    plan = plan_shards(NAMES, Folder(tmp_path), shard_photos=40, is_sorted=True)
    next((tmp_path / "plan").iterdir()).unlink()
    with pytest.raises(InputError, match="of the job's plan is missing"):
        list(read_shards(Folder(tmp_path), plan, [0]))
