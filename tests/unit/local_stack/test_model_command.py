"""`springtide model`: every preset is listed and shown, and what is wrong is told with its exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_stack.command import main
from springtide.contracts.errors import ExitCode
from springtide.model.presets import names


def test_the_list_names_every_preset(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "list"]) == ExitCode.OK
    said = capsys.readouterr().out
    assert all(name in said for name in names())


@pytest.mark.parametrize("name", names())
def test_every_preset_is_shown_and_drawn(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "graph.svg"
    assert main(["model", "show", name, "--out", str(picture)]) == ExitCode.OK
    assert "p(purchase) = " in capsys.readouterr().out
    assert picture.read_text().startswith("<svg ")


def test_a_profiles_own_graph_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile = tmp_path / "own.toml"
    profile.write_text('[model]\nheads = ["click", "cart | click", "purchase | cart"]\n')
    assert main(["model", "show", "mmoe-esm2", "--config", str(profile)]) == ExitCode.OK
    assert "p(purchase) = y₁y₂y₃\n" in capsys.readouterr().out
    profile.write_text('[model]\nheads = ["click", "cart | clik", "purchase | cart"]\n')
    assert main(["model", "show", "mmoe-esm2", "--config", str(profile)]) == ExitCode.CONFIG
    assert "'cart | clik': expected parents with a head, got 'clik'" in capsys.readouterr().err


def test_an_unknown_preset_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "show", "transformer"]) == ExitCode.CONFIG
    assert "got 'transformer'" in capsys.readouterr().err
