"""The command line's grammar."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from local_stack.command import audit, control, demo, model, train, upkeep, windows
from springtide.contracts.tasks import TASKS

Verbs = Any
"""argparse names the type of a parser's sub-parsers only privately."""


def make_parser() -> argparse.ArgumentParser:
    """Make the parser; each command sets `act` to the function that carries it out."""
    parser = argparse.ArgumentParser(
        prog="springtide", description="A recommender that keeps learning from its own traffic."
    )
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_demo(verbs)
    _add_replay(verbs)
    _add_upkeep(verbs)
    _add_measuring(verbs)
    _add_model(verbs)
    train.add_train(
        verbs.add_parser("train", help="rebuild the daily chain from archived days", description=train.TRAIN)
    )
    _add_inject(verbs)
    _add_experiment(verbs)
    return parser


def _add_demo(verbs: Verbs) -> None:
    verb = verbs.add_parser("demo", help="run the whole loop on this machine", description=demo.DEMO)
    _add_run_flags(verb, "demo")
    verb.add_argument("--days", type=float, help="simulated days of the story")
    verb.add_argument("--seed", type=int, help="seed of the simulated world")
    verb.add_argument("--speed", type=float, help="simulated seconds per second; 0: as fast as the loop follows")
    verb.set_defaults(act=demo.run_demo)


def _add_replay(verbs: Verbs) -> None:
    verb = verbs.add_parser("replay", help="feed a real behaviour log through the loop", description=demo.REPLAY)
    verb.add_argument("file", type=Path, metavar="FILE", help="the log: CSV, plain or gzipped")
    verb.add_argument(
        "--mapping", required=True, help="TOML file that says which column means what, or a name in config/replay"
    )
    verb.add_argument("--speed", type=float, help="logged seconds per second; 0: as fast as the loop follows")
    _add_run_flags(verb, "replay")
    verb.set_defaults(act=demo.run_replay)


def _add_run_flags(verb: argparse.ArgumentParser, profile: str) -> None:
    verb.add_argument(
        "--profile", default=profile, metavar="NAME", help=f"settings: config/NAME.toml (default: {profile})"
    )
    verb.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", dest="sets", help="override one setting"
    )
    verb.add_argument(
        "--resume", action="store_true", help="go on from the state of the last run, instead of wiping it"
    )
    verb.add_argument("--exit", action="store_true", dest="leave", help="end with the summary; else stay until Ctrl-C")
    verb.add_argument("--json", type=Path, metavar="FILE", help="write the summary's bars to this file as well")


def _add_upkeep(verbs: Verbs) -> None:
    verb = verbs.add_parser("status", help="tell what of the stack runs", description=upkeep.STATUS)
    verb.add_argument("--json", action="store_true", help="as JSON")
    verb.set_defaults(act=upkeep.status)
    verb = verbs.add_parser("stop", help="stop the running stack", description=upkeep.STOP)
    verb.set_defaults(act=upkeep.stop)
    verb = verbs.add_parser("clean-state", help="remove the stack's state", description=upkeep.CLEAN)
    verb.set_defaults(act=upkeep.clean_state)
    verb = verbs.add_parser("create-topics", help="create the topics on a Kafka of your own", description=upkeep.TOPICS)
    verb.add_argument("--config", type=Path, default=Path("config/base.toml"), help="settings profile (TOML)")
    verb.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", dest="sets", help="override one setting"
    )
    verb.set_defaults(act=upkeep.create)


def _add_measuring(verbs: Verbs) -> None:
    windows.add_windows(
        verbs.add_parser("windows", help="measure label delays and propose windows", description=windows.WINDOWS)
    )
    audit.add_audit(verbs.add_parser("audit", help="hold stored rows against a batch join", description=audit.AUDIT))


def _add_model(verbs: Verbs) -> None:
    kinds = _group(verbs, "model", "look at the models that there are")
    model.add_list(kinds.add_parser("list", help="list the presets", description=model.LIST))
    model.add_show(kinds.add_parser("show", help="show a preset's behaviour graph", description=model.SHOW))


def _add_inject(verbs: Verbs) -> None:
    kinds = _group(verbs, "inject", "disturb the running loop")
    kind = _command(kinds, "drift", "multiply a task's true conditional probability from now on", control.drift)
    kind.add_argument("--task", choices=TASKS, default="purchase")
    kind.add_argument("--factor", type=float, default=0.5, help="1 puts it back (default: 0.5)")
    kind = _command(kinds, "fault", "send events twice, out of order or from bots for a while", control.fault)
    kind.add_argument("kind", choices=("duplicate", "out_of_order", "bot"))
    kind.add_argument("--rate", type=float, default=0.1, help="share of events, 0 to 1 (default: 0.1)")
    kind.add_argument("--seconds", type=int, default=3600, help="length in simulated seconds (default: 3600)")
    kind = _command(kinds, "flash-sale", "more traffic, lower prices, faster purchases for a while", control.flash_sale)
    kind.add_argument("--traffic", type=float, default=2.0, help="traffic as a multiple (default: 2)")
    kind.add_argument("--seconds", type=int, default=7200, help="length in simulated seconds (default: 7200)")
    kind = _command(kinds, "pause", "freeze the broker for a while", control.pause)
    kind.add_argument("--seconds", type=float, default=10.0, help="length in real seconds (default: 10)")
    kind = _command(kinds, "kill", "kill -9 one process", control.kill)
    kind.add_argument("process", help="a name that `springtide status` lists")
    _add_ramp(kinds)


def _add_experiment(verbs: Verbs) -> None:
    kinds = _group(verbs, "experiment", "change the running experiment")
    _add_ramp(kinds)
    kind = _command(kinds, "lift", "give one arm a true effect on a task", control.lift)
    kind.add_argument("arm")
    kind.add_argument("--task", choices=TASKS, default="click")
    kind.add_argument("--factor", type=float, default=1.2, help="1 takes it back (default: 1.2)")
    kind = _command(kinds, "mismatch", "lose a share of one arm's slates before they are logged", control.mismatch)
    kind.add_argument("arm")
    kind.add_argument("--rate", type=float, default=0.1, help="share that is lost, 0 to 1 (default: 0.1)")


def _add_ramp(kinds: Verbs) -> None:
    kind = _command(kinds, "ramp", "change the share of users in the experiment", control.ramp)
    kind.add_argument("enrolled", type=float, help="share of users, 0 to 1")
    kind.add_argument("--experiment", default="", help="its name (default: the configured one)")


def _group(verbs: Verbs, name: str, summary: str) -> Verbs:
    verb = verbs.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
    return verb.add_subparsers(required=True, metavar="KIND")


def _command(kinds: Verbs, name: str, summary: str, make: control.Make) -> argparse.ArgumentParser:
    kind: argparse.ArgumentParser = kinds.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + "."
    )
    kind.set_defaults(act=control.send, make=make)
    return kind
