"""The story's phases and the summary's bars."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from local_stack.command.demo import mapping_file
from local_stack.command.parser import make_parser
from local_stack.display import Scene, headline
from local_stack.plan import CHECKOUT, Plan, make_plan
from local_stack.processes import SIMULATOR
from local_stack.run import verdict
from local_stack.samples import Sample
from local_stack.story import Phase, Story
from local_stack.summary import Bar, Finished, at_least, at_most, measure, write_json
from local_stack.watch import View
from springtide.contracts import metric_names
from springtide.contracts.errors import ExitCode


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    sets = ["simulator.days=4", "local_stack.drain_timeout=100s"]
    return make_plan(CHECKOUT / "config/base.toml", sets, {"SPRINGTIDE_STATE": str(tmp_path), "HOME": str(tmp_path)})


def view(name: str = SIMULATOR, *, state: str = "RUNNING", ready: bool = True, **details: object) -> View:
    return View(name=name, state=state, pid=1, ready=ready, status="", restarts=0, exit_status=0, details=dict(details))


def sample(name: str, value: float, **labels: str) -> Sample:
    return Sample(process="p", name=name, labels=labels, value=value)


def test_a_story_runs_drains_and_is_measured(plan: Plan) -> None:
    backlog = [sample(metric_names.CONSUMER_LAG, 5)]
    story = Story(plan, lambda: backlog)
    assert story.advance([view(ready=False)], 1) is Phase.STARTING
    assert story.advance([view(progress=0.0)], 2) is Phase.RUNNING
    assert story.advance([view(progress=0.5)], 3) is Phase.RUNNING
    assert (story.day, story.days, story.first_numbers_s) == (2.0, 4.0, 3)
    assert story.advance([view(progress=1.0, done=True)], 9) is Phase.DRAINING
    assert story.advance([view(progress=1.0, done=True)], 10) is Phase.DRAINING
    backlog.clear()
    phases = [story.advance([view(progress=1.0, done=True)], 11 + look) for look in range(3)]
    assert phases == [Phase.DRAINING, Phase.DRAINING, Phase.MEASURED]
    assert story.drained
    assert story.ended_s == 9


def test_streams_may_drain_as_long_as_their_backlog_shrinks(plan: Plan) -> None:
    backlog = [sample(metric_names.CONSUMER_LAG, 5)]
    story = Story(plan, lambda: backlog)
    story.advance([view(progress=1.0, done=True)], 10)
    assert story.advance([view(progress=1.0, done=True)], 11) is Phase.DRAINING
    assert story.backlog == 5
    backlog[:] = [sample(metric_names.CONSUMER_LAG, 4)]
    assert story.advance([view(progress=1.0, done=True)], 110) is Phase.DRAINING
    assert story.advance([view(progress=1.0, done=True)], 209) is Phase.DRAINING
    assert story.advance([view(progress=1.0, done=True)], 211) is Phase.MEASURED
    assert not story.drained


def test_a_restarted_simulator_does_not_turn_the_day_back(plan: Plan) -> None:
    story = Story(plan, list)
    story.advance([view(progress=0.5)], 1)
    story.advance([view(ready=False)], 2)
    assert story.day == 2.0
    assert story.phase is Phase.RUNNING


def test_a_simulator_that_ended_well_has_told_all(plan: Plan) -> None:
    story = Story(plan, list)
    story.advance([view(progress=0.5)], 1)
    assert story.advance([view(state="EXITED", ready=False)], 2) is Phase.DRAINING


def test_limits_scale_with_the_length_of_the_story(plan: Plan) -> None:
    finished = Finished(
        plan=plan,
        views=[view(impressions=90_000)],
        samples=[
            sample(metric_names.SWAPS, 5, outcome="swapped"),
            sample(metric_names.SWAPS, 50, outcome="refused"),
            sample(metric_names.DEAD_LETTERS, 2, reason="x"),
        ],
        simulated_days=2.0,
        story_s=171.0,
        first_numbers_s=30.0,
        drained=True,
    )
    bars = {bar.bar: bar for bar in measure(finished)}
    assert bars["story of 2 simulated days"].limit == pytest.approx(171.4286)
    assert bars["impressions shown"].holds
    assert (bars["bundle swaps"].value, bars["bundle swaps"].limit) == (5, 5)
    assert not bars["dead letters, but for purchases whose click is past its window"].holds
    assert bars["failed requests"].holds


def test_bars_become_a_verdict_and_a_file(tmp_path: Path) -> None:
    good, bad = at_least("a", 3, 2, "x"), at_most("b", 3, 2, "y")
    assert verdict([good]) is ExitCode.OK
    assert verdict([good, bad]) is ExitCode.BARS_MISSED
    write_json([good, bad], tmp_path / "new" / "bars.json")
    assert json.loads((tmp_path / "new" / "bars.json").read_text()) == [
        {"bar": "a", "value": 3, "limit": 2, "holds": True, "unit": "x"},
        {"bar": "b", "value": 3, "limit": 2, "holds": False, "unit": "y"},
    ]
    assert isinstance(good, Bar)


@pytest.mark.parametrize(
    "line",
    [
        "demo --days 2 --exit --json f --seed 3 --speed 1000 --profile demo --resume --set a.b=1",
        "replay log.csv.gz --mapping m.toml --exit",
        "status --json",
        "stop",
        "clean-state",
        "inject drift --task cart --factor 2",
        "inject fault bot --rate 0.2 --seconds 60",
        "inject ramp 0.5",
        "inject pause --seconds 5",
        "inject kill trainer",
        "experiment ramp 0.5 --experiment main",
        "experiment lift treatment --factor 1.1",
        "experiment mismatch control",
    ],
)
def test_every_command_of_the_manual_is_understood(line: str) -> None:
    assert callable(make_parser().parse_args(line.split()).act)


def test_a_replay_has_progress_but_no_days(tmp_path: Path) -> None:
    environ = {"SPRINGTIDE_STATE": str(tmp_path), "HOME": str(tmp_path)}
    replay = Story(make_plan(CHECKOUT / "config/base.toml", ["simulator.mode=replay"], environ), list)
    replay.advance([view(progress=0.25)], 1)
    assert (replay.day, replay.progress) == (0.0, 0.25)
    assert (
        headline(Scene(phase="running", views=[], progress=0.25, elapsed_s=61))
        == "running: 25.0%, 0:01:01 since the start"
    )


def test_a_mapping_is_a_file_or_a_name(tmp_path: Path) -> None:
    assert mapping_file("retailrocket") == CHECKOUT / "config" / "replay" / "retailrocket.toml"
    assert mapping_file(str(tmp_path / "own.toml")) == tmp_path / "own.toml"
