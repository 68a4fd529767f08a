"""The loop as a graph: each process, whether it is ready, and how much flows along each edge."""

from typing import Any

from monitoring.report_book import ReportBook
from springtide.contracts import metric_names as names


def loop_snapshot(book: ReportBook, wall_ms: int) -> dict[str, Any]:
    """Give nodes by instance and edges by name, in messages per second of wall time."""
    nodes = {
        report.instance: {
            "ready": report.ready,
            "status": report.status,
            "age_s": max(0.0, (wall_ms - report.wall_time_ms) / 1000),
        }
        for report in book.instances()
    }
    edges = {
        "requests": book.rate(names.REQUESTS),
        "events": book.rate(names.EVENTS_IN, process="joiner"),
        "samples": book.rate(names.ROWS),
        "features": book.rate(names.FEATURE_ROWS, process="streaming_features")
        or book.rate(names.FEATURE_ROWS, process="features"),
        "learned": book.rate(names.SAMPLES_LEARNED),
        "bundles": book.rate(names.BUNDLES, seconds=60),
    }
    p50, p99 = book.quantiles(names.REQUEST_SECONDS, (0.5, 0.99))
    return {
        "nodes": nodes,
        "edges": edges,
        "request_p50_s": p50,
        "request_p99_s": p99,
        "fallbacks": book.total(names.FALLBACKS),
        "requests": book.total(names.REQUESTS),
    }
