"""What the page keeps: reports, points, rows seen."""

import pytest

from monitoring.report_book import ReportBook, split_name
from monitoring.row_filter import RowFilter
from monitoring.series import SeriesStore
from springtide.contracts.examples import EXAMPLES
from springtide.contracts.reports import ProcessReport
from springtide.contracts.samples import Sample


def report(sequence: int, wall_s: float, **samples: float) -> ProcessReport:
    return ProcessReport(
        process="p", instance="p-0", sequence=sequence, wall_time_ms=int(wall_s * 1000), ready=True, status="",
        samples={name.replace("__", '{task="click"}'): value for name, value in samples.items()},
    )  # fmt: skip


def test_names_split_into_name_and_labels() -> None:
    assert split_name('a_total{task="click",outcome="in"}') == ("a_total", {"task": "click", "outcome": "in"})
    assert split_name("a_total") == ("a_total", {})


def test_a_rate_is_the_increase_over_wall_time() -> None:
    book = ReportBook()
    for second in range(5):
        book.add(report(second, second, a_total__=10.0 * second, b_total=1.0))
    assert book.rate("a_total") == pytest.approx(10.0)
    assert book.rate("a_total", task="cart") == 0.0
    assert book.total("a_total", task="click") == 40.0


def test_a_process_that_was_started_again_gives_no_negative_rate() -> None:
    book = ReportBook()
    book.add(report(9, 0, a_total=900.0))
    book.add(report(1, 1, a_total=1.0))
    book.add(report(2, 2, a_total=3.0))
    assert book.rate("a_total") == pytest.approx(2.0)


def test_quantiles_interpolate_inside_a_bucket_and_know_when_there_is_nothing() -> None:
    book = ReportBook()
    buckets = {'h_bucket{le="1.0"}': 0.0, 'h_bucket{le="3.0"}': 10.0, 'h_bucket{le="+Inf"}': 10.0}
    book.add(
        ProcessReport(
            process="p", instance="p-0", sequence=1, wall_time_ms=0, ready=True, status="", samples=buckets
        )
    )  # fmt: skip
    assert book.quantiles("h", (0.5, 1.0)) == [2.0, 3.0]
    assert book.quantiles("other", (0.5,)) == [None]


def test_a_page_that_was_away_gets_what_it_missed() -> None:
    store = SeriesStore(max_points=100)
    for second in range(4):
        store.add(second, {"line": float(second), "empty": None, "bad": float("nan")})
    assert store.since(2) == {"line": ([2, 3], [2.0, 3.0])}
    assert store.since(4) == {}
    assert set(store.since(0)) == {"line"}


def test_a_long_chart_thins_its_past_and_keeps_its_newest_points() -> None:
    store = SeriesStore(max_points=50)
    for second in range(500):
        store.add(second, {"line": float(second)})
    times, _ = store.since(0)["line"]
    assert len(times) <= 50
    assert times[-10:] == list(range(490, 500))
    assert times[0] == 0


def test_a_repeated_row_counts_once() -> None:
    sample = EXAMPLES["sample"]
    assert isinstance(sample, Sample)
    rows = RowFilter(keep_ms=1000)
    assert rows.take([sample, sample]) == [sample]
    assert rows.take([sample]) == []
    assert rows.repeated == 2
