"""Topic `control`: commands from the page, the command line and scenarios."""

import msgspec

from springtide.contracts.tasks import Task


class Command(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=str.lower):
    """What every command carries."""

    command_id: str
    issued_ms: int
    """Wall time of the command."""


class Drift(Command, frozen=True, kw_only=True):
    """Multiply a task's real conditional probability from now on. Obeyed by the simulator."""

    task: Task
    factor: float


class Fault(Command, frozen=True, kw_only=True):
    """Inject faults for a while of event time. Obeyed by the simulator."""

    kind: str
    """duplicate, out_of_order or bot."""
    rate: float
    """Share of events concerned, 0 to 1."""
    seconds: int
    """Length in event time."""


class FlashSale(Command, frozen=True, kw_only=True):
    """More traffic, lower prices and faster purchases for a while. Obeyed by the simulator."""

    traffic_factor: float
    seconds: int
    """Length in event time."""


class Ramp(Command, frozen=True, kw_only=True):
    """Change the share of users enrolled in an experiment; arms stay equal. Obeyed by serving."""

    experiment: str
    enrolled: float
    """Share of users, 0 to 1."""


class Lift(Command, frozen=True, kw_only=True):
    """Give one arm a true effect on a task. Obeyed by the simulator."""

    arm: str
    task: Task
    factor: float


class SampleRatioMismatch(Command, frozen=True, kw_only=True):
    """Lose a share of one arm's slates before they are logged as shown. Obeyed by the simulator."""

    arm: str
    rate: float


class BrokerPause(Command, frozen=True, kw_only=True):
    """Stop the embedded broker for a while of wall time. Obeyed by local_stack."""

    seconds: float


class KillProcess(Command, frozen=True, kw_only=True):
    """kill -9 one process of the embedded stack. Obeyed by local_stack."""

    process: str


AnyCommand = Drift | Fault | FlashSale | Ramp | Lift | SampleRatioMismatch | BrokerPause | KillProcess
