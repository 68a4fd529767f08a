"""A small, seeded story for the page: reports, rows, truth, bundles and swaps, hour by hour."""

import numpy as np

from monitoring.board import Board
from springtide.contracts.bundle import ModelSwap, ModelUpdate
from springtide.contracts.events import Context
from springtide.contracts.reports import ProcessReport
from springtide.contracts.samples import Sample
from springtide.contracts.tasks import TASKS, Task
from springtide.contracts.truth import TruthScenario, TruthSlate

START_MS = 1_772_409_600_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
RATES = {"click": 0.2, "cart": 0.06, "purchase": 0.04}


class Story:
    """Feeds a board as the processes would."""

    def __init__(self, board: Board, seed: int = 7) -> None:
        self.board = board
        self.hour = 0
        self._random = np.random.default_rng(seed)

    def advance(self, hours: int, slates_an_hour: int = 30) -> None:
        """Let hours pass."""
        for _ in range(hours):
            self.hour += 1
            now_ms = START_MS + self.hour * HOUR_MS
            rows, truth = self._slates(now_ms, slates_an_hour)
            self.board.add_truth(list(truth))
            self.board.add_rows(rows)
            self.board.add_reports(self._reports(now_ms))
            if self.hour % 5 == 0:
                self.board.add_updates([self._update(now_ms)])
            if self.hour == 20:
                self.board.add_truth([TruthScenario(event_time_ms=now_ms, kind="drift", task="purchase", factor=0.5)])
            self.board.sample(now_ms)

    def _slates(self, now_ms: int, count: int) -> tuple[list[Sample], list[TruthSlate]]:
        rows, truth = [], []
        for number in range(count):
            request_id = f"r{self.hour}-{number}"
            user = int(self._random.integers(0, 200))
            items = [f"i{index}" for index in range(10)]
            p = {task: self._random.uniform(0.5, 1.5, 10) * RATES[task] for task in TASKS}
            click = self._random.uniform(size=10) < p["click"]
            labels: dict[Task, list[int]] = {"click": click.astype(int).tolist()}
            for task in ("cart", "purchase"):
                labels[task] = (click & (self._random.uniform(size=10) < p[task] / p["click"])).astype(int).tolist()
            arm = "treatment" if user % 2 else "control"
            device = "desktop" if user % 3 else "phone"
            scores = {task: p[task].tolist() for task in TASKS}
            truth.append(
                TruthSlate(
                    event_time_ms=now_ms, request_id=request_id, user_id=f"u{user}", arm=arm, item_ids=items,
                    examine=[1.0] * 10, probabilities=scores, expected_clicks=float(p["click"].sum()),
                    expected_purchases=float(p["purchase"].sum()), expected_revenue=1.0,
                )
            )  # fmt: skip
            for phase in ("observed", "final"):
                closed = phase == "final"
                rows.append(
                    Sample(
                        row_id=f"{request_id}:{phase}", phase="final" if closed else "observed", request_id=request_id,
                        user_id=f"u{user}", experiment="demo", arm=arm,
                        other_arms={"a-a": "aa-left" if user % 4 < 2 else "aa-right"}, model_version="minute-1.0",
                        context=Context(device=device), impression_time_ms=now_ms, age_ms=HOUR_MS, item_ids=items,
                        positions=list(range(1, 11)), labels=labels,
                        delays_ms={task: [60_000 if y else -1 for y in labels[task]] for task in TASKS},
                        maturity={
                            "click": "closed", "cart": "closed" if closed else "observed",
                            "purchase": "closed" if closed else "observed",
                        },
                        revenue=[0.0] * 10, scores=scores,
                    )
                )  # fmt: skip
        return rows, truth

    def _reports(self, now_ms: int) -> list[ProcessReport]:
        seconds, total = now_ms / 1000, float(self.hour * 300)
        samples = {
            "simulator": {"springtide_simulated_timestamp_seconds": seconds},
            "streaming_joiner": {
                'springtide_events_total{process="joiner",type="click"}': total,
                'springtide_watermark_timestamp_seconds{stage="joiner",partition="0"}': seconds - 600,
                'springtide_newest_event_timestamp_seconds{stage="joiner"}': seconds - 300,
                'springtide_join_emit_wall_seconds_bucket{phase="final",le="0.5"}': total / 2,
                'springtide_join_emit_wall_seconds_bucket{phase="final",le="+Inf"}': total,
                "springtide_join_impressions_open": 7_000.0 + self.hour,
                'springtide_join_rows_total{phase="final"}': total,
                'springtide_join_slates_total{outcome="in"}': total,
                'springtide_join_slates_total{outcome="final"}': total - 30,
                "springtide_join_slates_open": 30.0,
                **{f'springtide_join_labels_total{{task="{task}",outcome="{outcome}"}}': total
                   for task in TASKS for outcome in ("in", "matched")},
            },
            "serving": {
                'springtide_requests_total{arm="control",outcome="model"}': total,
                'springtide_model_newest_event_timestamp_seconds{arm="control"}': seconds - 5_000,
            },
            "trainer": {
                'springtide_train_newest_event_timestamp_seconds{chain="minute"}': seconds - 4_000,
                "springtide_forgetting_day_timestamp_seconds": START_MS // DAY_MS * 86_400.0,
                'springtide_forgetting_quality{task="click",moment="then",metric="ne"}': 0.8,
                'springtide_forgetting_quality{task="click",moment="now",metric="ne"}': 0.85,
            },
        }  # fmt: skip
        swap = ModelSwap(
            arm="control", chain="minute", version=f"minute-1.{self.hour}", previous_version="", event_time_ms=now_ms,
            wall_time_ms=now_ms, newest_event_ms=now_ms - 5_000_000, load_ms=4.0,
        )  # fmt: skip
        return [
            ProcessReport(
                process=process, instance=process, sequence=self.hour, wall_time_ms=self.hour * 1000, ready=True,
                status=f"{process} at work", samples=values, swaps=[swap] if process == "serving" else [],
            )
            for process, values in samples.items()
        ]  # fmt: skip

    def _update(self, now_ms: int) -> ModelUpdate:
        return ModelUpdate(
            chain="minute", version=f"minute-1.{self.hour}", kind="delta", base_version="minute-1.0",
            sequence=self.hour,
            path="minute/x", manifest_sha256="", newest_event_ms=now_ms - 4_500_000, watermark_ms=now_ms,
            samples_learned=self.hour * 300, published_ms=now_ms,
        )  # fmt: skip
