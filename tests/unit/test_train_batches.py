"""Batches: as large as the log suits, in their order, made one ahead."""

import threading

import pytest

from shelfcast.train.batches import batch_size, made_ahead


@pytest.mark.parametrize(
    ("windows", "wanted", "size"),
    [
        (15_000, 128, 128),
        (100, 128, 16),  # few: smaller ones, so that there are some steps
        (0, 128, 16),
        (1000, 128, 62),
        (100_000, 128, 200),  # many: 500 steps
        (10_000_000, 128, 512),
        (10_000_000, 1024, 1024),  # never smaller than asked for where there are enough
    ],
)
def test_a_batch_is_as_large_as_the_log_suits(windows, wanted, size):
    assert batch_size(windows, wanted) == size


def test_batches_come_in_order_and_once():
    assert list(made_ahead(iter(range(1000)))) == list(range(1000))
    assert list(made_ahead(iter(()))) == []


def test_the_next_batch_is_made_while_this_one_is_used():
    made = [threading.Event() for _ in range(4)]

    def batches():
        for number, event in enumerate(made):
            event.set()
            yield number

    for number in made_ahead(batches()):
        if number < 3:
            assert made[number + 1].wait(10)
        if number < 2:
            assert not made[number + 2].is_set()


def test_what_goes_wrong_in_the_thread_is_raised():
    def batches():
        yield 1
        raise ValueError("a broken window")

    with pytest.raises(ValueError, match="a broken window"):
        list(made_ahead(batches()))
