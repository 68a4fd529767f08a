"""Every error a caller can act on, and the exit code of each cause.

    SpringtideError
    ├── ConfigError            the settings break one or more rules
    ├── ContractError          a message is not what its topic promises
    ├── ShapeError             tensors or columns that do not fit together
    ├── BrokerError            Kafka cannot be reached or refuses
    ├── DeliveryError          a message was not acknowledged: nothing after it may be committed
    ├── StateError             stored state is missing, torn or of another kind
    ├── BundleError            a model bundle fails its checks; the old model goes on
    └── StackError             the embedded stack cannot start (Java, port, disk, checksum)

Messages read `where: expected X, got Y; what to do`.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """One number per cause of a process's end; docs/runbook.md says what to do for each."""

    OK = 0
    CONFIG = 2
    BROKER = 10
    PORT_TAKEN = 11
    NO_JAVA = 12
    CHECKSUM = 13
    DISK_FULL = 14
    STATE_UNWRITABLE = 15
    PROCESS_FAILED = 16
    DOWNLOAD = 17
    ALREADY_RUNNING = 18
    NOT_RUNNING = 19
    DELIVERY = 20
    CHANGELOG_POLICY = 21
    COMMIT_STUCK = 22
    RECOVERY = 23
    CHANGELOG_FORMAT = 24
    STATE = 30
    BUNDLE = 31
    WORKER_LOST = 32
    BARS_MISSED = 40
    ROWS_DIFFER = 41
    NOTHING_JUDGED = 42
    INTERNAL = 70
    INTERRUPTED = 130


class SpringtideError(Exception):
    """The root; `exit_code` is what a process that cannot go on ends with."""

    exit_code = ExitCode.INTERNAL


class ConfigError(SpringtideError):
    """The settings break one or more rules; every problem is listed at once."""

    exit_code = ExitCode.CONFIG

    def __init__(self, problems: list[str]) -> None:
        lines = [f"settings: {len(problems)} problem(s)", *(f"  - {problem}" for problem in problems)]
        super().__init__("\n".join(lines))
        self.problems = problems


class ContractError(SpringtideError):
    """A message is not what its topic promises; `reason` is its dead-letter code."""

    def __init__(self, message: str, reason: str = "contract") -> None:
        super().__init__(message)
        self.reason = reason


class ShapeError(SpringtideError):
    """Tensors or columns do not fit together."""


class BrokerError(SpringtideError):
    """Kafka cannot be reached, or refuses what was asked."""

    exit_code = ExitCode.BROKER


class DeliveryError(SpringtideError):
    """A message was not acknowledged; nothing that depends on it may be committed."""

    exit_code = ExitCode.DELIVERY


class StateError(SpringtideError):
    """Stored state is missing, torn, or of another kind than asked for."""

    exit_code = ExitCode.STATE


class BundleError(SpringtideError):
    """A model bundle fails its checks; whoever serves keeps the model it has."""

    exit_code = ExitCode.BUNDLE


class StackError(SpringtideError):
    """The embedded stack cannot start; `exit_code` names the cause."""

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = exit_code
