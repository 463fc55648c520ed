"""Benchmark files of next-item recommendation, and how places in a full ranking become figures."""

from pathlib import Path

import numpy as np
import pytest

from shelfcast.errors import SourceError
from shelfcast.evaluate import next_item
from shelfcast.models import full_ranking, leave_one_out
from shelfcast.models.leave_one_out import LeaveOneOut


def data(tmp_path: Path, text: str) -> LeaveOneOut:
    path = tmp_path / "some.txt"
    path.write_text(text)
    return leave_one_out.read(path)


def names(found: LeaveOneOut, numbers: np.ndarray) -> list[str]:
    return [str(found.items[int(number) - 1]) for number in numbers]


def test_the_last_item_is_the_test_and_the_one_before_it_the_validation(tmp_path: Path) -> None:
    found = data(tmp_path, "ann a b c d\n\nbob b e\ncat e a b\n")
    assert np.diff(found.training.offsets).tolist() == [2, 2, 1]  # bob has too few items to be asked about
    assert names(found, found.training.numbers) == ["a", "b", "b", "e", "e"]
    assert names(found, found.validation.wanted) == ["c", "a"]
    assert names(found, found.validation.known.numbers) == ["a", "b", "e"]
    assert names(found, found.test.wanted) == ["d", "b"]
    assert names(found, found.test.known.numbers) == ["a", "b", "c", "e", "a"]
    assert dict(zip(names(found, np.arange(1, 6)), found.counts().tolist(), strict=True)) == {
        "a": 1, "b": 2, "c": 0, "d": 0, "e": 2,
    }  # fmt: skip


def test_a_part_of_the_question_keeps_users_and_answers_together(tmp_path: Path) -> None:
    found = data(tmp_path, "ann a b c d\nbob b e f\ncat e a b\n").test.part(slice(1, None, 2))
    assert found.known.newest(5).numbers.tolist() == [[2, 5]]
    assert found.wanted.tolist() == [6]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ann a b c\nbob\n", "line 2: user bob has no item"),
        ("ann a b c\nann d e f\n", "line 2: user ann stands in line 1 already"),
        ("ann a b\n", "no user has 3 items or more"),
        ("", "no user has 3 items or more"),
    ],
)
def test_a_bad_file_is_refused_by_name_and_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SourceError, match=r"some\.txt") as refused:
        data(tmp_path, text)
    assert message in str(refused.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "some.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SourceError, match="cannot be read as UTF-8"):
        leave_one_out.read(tmp_path / "some.txt")


def test_all_items_but_the_known_ones_are_ranked(tmp_path: Path) -> None:
    found = data(tmp_path, "ann a b c d\nbob c a b e\n").test
    scores = np.array([[9.0, 8.0, 7.0, 1.0, 2.0], [5.0, 1.0, 6.0, 3.0, 4.0]])
    ranked = full_ranking.ranking(iter([scores[:1].copy(), scores[1:].copy()]), found.known, found.wanted, 2)
    assert ranked.places.tolist() == [1, 0]
    assert np.sort(ranked.lists, 1).tolist() == [[4, 5], [4, 5]]


def test_what_scores_the_same_stands_before_the_wanted_item(tmp_path: Path) -> None:
    found = data(tmp_path, "ann a b c d\nbob e f g\n").test.part(slice(0, 1))
    ranked = full_ranking.ranking(iter([np.zeros((1, 7))]), found.known, found.wanted, 1)
    assert ranked.places.tolist() == [3]


def test_gains_of_one_wanted_item() -> None:
    values = full_ranking.gains(np.array([0, 2, 10]), 10)
    assert np.allclose(values, [[1, 1, 1], [1, 0.5, 1 / 3], [0, 0, 1 / 11]])


def test_rivals_rank_by_what_they_count(tmp_path: Path) -> None:
    lines = ["ann a b x y", "bob a b c d", "cat a b c e", "dan b c f g", "eve a h c f"]
    found = data(tmp_path, "\n".join(lines))
    items = {name: number for number, name in enumerate(names(found, np.arange(1, len(found.items) + 1)), 1)}
    popular = next_item.rival("popularity", found, found.test, 3)
    assert set(popular.lists[4].tolist()) == {items["b"], items["x"], items["y"]}  # eve has a, h and c already
    near = next_item.rival("item_knn", found, found.validation, 1)
    assert near.lists[4].tolist() == [items["b"]]  # a goes with b


def test_personal_frequency_finds_only_what_is_bought_again(tmp_path: Path) -> None:
    found = data(tmp_path, "ann a a b a\nbob c b d\n")
    assert next_item.rival("personal_frequency", found, found.test, 1).places.tolist() == [0, 3]


def test_thirds_of_all_events() -> None:
    assert next_item.thirds(np.array([1.0, 4.0, 3.0, 1.0])).tolist() == [2, 0, 1, 2]


def test_an_interval_tells_a_difference_from_none() -> None:
    rng = np.random.default_rng(0)
    good = full_ranking.Ranking(rng.integers(0, 20, 500), np.zeros((500, 1)))
    bad = full_ranking.Ranking(good.places + 5, good.lists)
    mean, low, high = next_item.interval(good, bad, 10, 1)["hr@10"]
    assert 0 < low < mean < high
    mean, low, high = next_item.interval(good, good, 10, 1)["ndcg@10"]
    assert (mean, low, high) == (0, 0, 0)
