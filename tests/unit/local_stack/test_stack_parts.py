"""Folders, the table of processes, supervisord's configuration, and what is read from processes."""

from __future__ import annotations

import configparser
import os
import shlex
from pathlib import Path

import pytest

from local_stack.command.demo import replay_table
from local_stack.errors import AlreadyRunningError, DiskFullError, ForeignFolderError, NotWritableError, from_os_error
from local_stack.folders import MARKER, cache_folder, claim, state_folder, wipe
from local_stack.keeper import count_starts
from local_stack.lock import holder, take_lock
from local_stack.processes import BROKER, SIMULATOR, TABLE, Process, process_table, startable, stop_waves
from local_stack.samples import parse_samples, total
from local_stack.supervisor_conf import render_conf, socket_path


def processes(state: Path = Path("/s")) -> list[Process]:
    return process_table(Path("/c.toml"), state, ["a.b=c d"], 100)


def test_folders_follow_the_environment() -> None:
    assert state_folder({"SPRINGTIDE_STATE": "/x"}) == Path("/x")
    assert state_folder({}) == Path.cwd() / ".springtide"
    assert cache_folder({"XDG_CACHE_HOME": "/c", "HOME": "/h"}) == Path("/c/springtide")
    assert cache_folder({"HOME": "/h"}) == Path("/h/.cache/springtide")


def test_a_folder_that_is_not_ours_is_neither_claimed_nor_wiped(tmp_path: Path) -> None:
    precious = tmp_path / "thesis.tex"
    precious.write_text("...")
    for act in (claim, wipe):
        with pytest.raises(ForeignFolderError, match="set SPRINGTIDE_STATE"):
            act(tmp_path)
    assert precious.exists()


def test_a_wipe_keeps_what_it_is_told_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    claim(folder)
    (folder / "broker").mkdir()
    (folder / "front.lock").touch()
    assert wipe(folder, keep=["front.lock"])
    assert sorted(path.name for path in folder.iterdir()) == [MARKER, "front.lock"]
    assert wipe(folder)
    assert not folder.exists()
    assert not wipe(folder)


def test_a_link_in_the_state_is_removed_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    claim(tmp_path / "state")
    (tmp_path / "state" / "link").symlink_to(outside)
    wipe(tmp_path / "state")
    assert (outside / "kept").exists()


def test_the_system_s_refusals_are_told_apart() -> None:
    assert isinstance(from_os_error("x", OSError(28, "no space")), DiskFullError)
    assert isinstance(from_os_error("x", OSError(13, "denied")), NotWritableError)


def test_one_front_holds_the_lock(tmp_path: Path) -> None:
    assert holder(tmp_path) == 0
    with take_lock(tmp_path):
        assert holder(tmp_path) == os.getpid()
        with pytest.raises(AlreadyRunningError, match=str(os.getpid())):
            take_lock(tmp_path)
    assert holder(tmp_path) == 0


def test_only_the_broker_may_start_first_and_the_simulator_starts_last() -> None:
    table = processes()
    assert [one.name for one in startable(table, set(), set())] == [BROKER]
    everything = {one.name for one in table}
    others = everything - {SIMULATOR}
    assert [one.name for one in startable(table, others, others)] == [SIMULATOR]
    assert startable(table, others, others - {"serving"}) == []


@pytest.mark.parametrize("rows", [TABLE, replay_table(TABLE)])
def test_nothing_stops_before_what_needs_it(rows: tuple[object, ...]) -> None:
    table = process_table(Path("c"), Path("s"), [], 100, rows)  # type: ignore[arg-type]
    place = {one.name: number for number, wave in enumerate(stop_waves(table)) for one in wave}
    assert set(place) == {one.name for one in table}
    assert all(place[one.name] < place[need] for one in table for need in one.needs)


def test_each_process_gets_its_own_port_and_name() -> None:
    table = processes()
    ports = [one.health_port for one in table if one.name != BROKER]
    assert len(set(ports)) == len(ports)
    for one in table:
        assert f"process.instance={one.name}" in one.command
        assert "a.b=c d" in one.command


def test_supervisord_reads_back_the_very_command(tmp_path: Path) -> None:
    odd = Process(name="odd", command=("/bin/echo", "100%", "a b", "it's"), needs=())
    parsed = configparser.ConfigParser()
    parsed.read_string(render_conf([odd], tmp_path, tmp_path))
    assert tuple(shlex.split(parsed["program:odd"]["command"])) == odd.command
    assert parsed["program:odd"]["stopasgroup"] == parsed["program:odd"]["killasgroup"] == "true"


def test_a_long_path_does_not_break_the_socket() -> None:
    deep = Path("/" + "x" * 150)
    assert len(str(socket_path(deep))) < 100
    assert socket_path(deep) != socket_path(deep / "y")
    assert socket_path(Path("/s")) == Path("/s/supervisor.sock")


def test_starts_are_counted_since_supervisord_s_own() -> None:
    log = "INFO spawned: 'a' with pid 1\nINFO supervisord started with pid 9\n" + "INFO spawned: 'a' with pid 2\n" * 3
    assert count_starts(log) == {"a": 3}


def test_samples_are_summed_by_label() -> None:
    page = (
        "# TYPE springtide_x counter\n"
        'springtide_x_total{outcome="ok",arm="a"} 3.0\n'
        'springtide_x_total{outcome="ok",arm="b"} 4.0\n'
        'springtide_x_total{outcome="bad",arm="b"} 5.0\n'
        "python_info 1.0\n"
    )
    samples = parse_samples("serving", page)
    assert len(samples) == 3
    assert total(samples, "springtide_x_total", outcome="ok") == 7
    assert total(samples, "springtide_x_total", outcome="ok", arm="b") == 4
    assert total(samples, "springtide_y_total") == 0
