"""The next item is produced while one is used, by a thread that ends with the iterator."""

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from sessions_platform.storage.lake.prefetch import prefetch, prefetch_map

SOON = 30.0


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("prefetch")]


def test_items_keep_their_order() -> None:
    assert list(prefetch(iter(range(100)))) == list(range(100))
    assert list(prefetch([])) == []
    assert threads() == []


def test_exactly_one_item_is_prepared_ahead_of_the_one_in_use() -> None:
    made = [threading.Event() for _ in range(3)]

    def making() -> Iterator[int]:
        for number, event in enumerate(made):
            event.set()
            yield number

    with closing(prefetch(making())) as items:
        assert next(items) == 0
        assert made[1].wait(SOON)
        assert not made[2].is_set()
        assert next(items) == 1
        assert made[2].wait(SOON)


@pytest.mark.parametrize("taken", [0, 1, 2])
def test_a_producers_error_is_raised_after_the_items_before_it(taken: int) -> None:
    def making() -> Iterator[int]:
        yield from range(taken)
        raise FileNotFoundError("gone")

    items = prefetch(making())
    assert [next(items) for _ in range(taken)] == list(range(taken))
    with pytest.raises(FileNotFoundError, match="gone"):
        next(items)
    assert threads() == []


@pytest.mark.parametrize("taken", [1, 3])
def test_when_the_consumer_fails_the_producer_is_closed_and_its_thread_ends(taken: int) -> None:
    closed = threading.Event()

    def making() -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            closed.set()

    def use() -> None:
        with closing(prefetch(making())) as items:
            for number in items:
                if number == taken:
                    raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        use()
    assert closed.is_set()
    assert threads() == []


def test_mapped_results_keep_their_order_and_no_more_are_begun_than_requested() -> None:
    begun: list[int] = []
    go_on = threading.Event()

    def double(number: int) -> int:
        if number == 0:
            assert go_on.wait(SOON)
        return 2 * number

    def items() -> Iterator[int]:
        for number in range(9):
            begun.append(number)
            if number == 2:
                go_on.set()  # the first is the last to be done
            yield number

    made = prefetch_map(double, items(), 2)
    assert next(made) == 0
    assert begun == [0, 1, 2]
    assert list(made) == [2 * number for number in range(1, 9)]
    assert list(prefetch_map(double, [], 2)) == []
    assert threads() == []


def test_an_error_of_one_item_is_raised_in_its_turn_and_ends_the_threads() -> None:
    made = prefetch_map(lambda number: 6 // number, [3, 0, 1], 2)
    assert next(made) == 2
    with pytest.raises(ZeroDivisionError):
        next(made)
    assert threads() == []
