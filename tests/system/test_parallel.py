"""Threads work in order, a little ahead, and hold only so many decoded images at a time."""

from __future__ import annotations

import threading

from pplcnet.system.parallel import Room, in_order


def test_huge_images_wait_for_each_other() -> None:
    room, inside, most = Room(limit=100), [0], [0]
    lock = threading.Lock()

    def work(pixels: int) -> int:
        with room.for_pixels(pixels):
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            with lock:
                inside[0] -= 1
        return pixels

    given = [6, 1000, 7, 8] * 20  # 60 to 80 bytes each: no two fit
    assert list(in_order(work, given, workers=4)) == given
    assert most == [1]


def test_work_is_begun_only_a_little_ahead() -> None:
    taken = []
    results = in_order(str, (taken.append(number) or number for number in range(1000)), workers=2)
    assert next(results) == "0"
    assert len(taken) <= 40
    results.close()
