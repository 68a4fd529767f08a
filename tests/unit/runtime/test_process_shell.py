"""The shell of a process: flags, health, metrics, logs."""

import io
import json
import logging
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client import Counter

from springtide.contracts.errors import ExitCode, StackError
from springtide.runtime.command_line import make_parser, run_process
from springtide.runtime.health import Health, serve_health
from springtide.runtime.log_setup import HumanFormatter, JsonFormatter
from springtide.runtime.reports import registry_samples


def test_the_flags_are_these_and_no_others() -> None:
    flags = {flag for action in make_parser("x", "y")._actions for flag in action.option_strings}
    assert flags == {"-h", "--help", "--config", "--set", "--check", "--log-level"}


def test_check_prints_settings_and_starts_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--config", "config/base.toml", "--check", "--set", "kafka.partitions=3"]
    code = run_process("x", "y", {}, lambda runtime: pytest.fail("must not start"), arguments)
    assert code == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["kafka"]["partitions"] == 3


def test_bad_settings_end_with_their_own_code(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[kafka]\npartitions = 0\n")
    code = run_process("x", "y", {}, lambda runtime: None, ["--config", str(tmp_path / "bad.toml")])
    assert code == ExitCode.CONFIG


def test_health_is_503_until_ready_and_metrics_answer() -> None:
    Counter("springtide_shell_test_total", "A counter of this test.", ["kind"]).labels(kind="a").inc(2)
    health = Health("x")
    server, port = serve_health(health, "127.0.0.1", 0)
    try:
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health")
        assert caught.value.code == 503
        health.update(ready=True, status="well", slates=3)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as answer:
            assert json.load(answer) == {"process": "x", "ready": True, "status": "well", "slates": 3}
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            assert b'springtide_shell_test_total{kind="a"} 2.0' in answer.read()
        assert registry_samples()['springtide_shell_test_total{kind="a"}'] == 2.0
        with pytest.raises(StackError, match="choose another") as taken:
            serve_health(health, "127.0.0.1", port)
        assert taken.value.exit_code == ExitCode.PORT_TAKEN
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("human", [True, False])
def test_logs_are_lines_for_people_and_json_for_machines(human: bool) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(HumanFormatter("joiner") if human else JsonFormatter("joiner"))
    logger = logging.Logger("t")
    logger.addHandler(handler)
    logger.warning("late by %d s", 3, extra={"offset": 7, "_of_a_library": 1})
    if human:
        assert stream.getvalue().endswith("WARNING joiner: late by 3 s offset=7\n")
    else:
        entry = json.loads(stream.getvalue())
        assert "_of_a_library" not in entry
        assert (entry["message"], entry["offset"], entry["process"]) == ("late by 3 s", 7, "joiner")
