"""Topic `control`: changes the share of users in an experiment while traffic flows."""

import logging
from collections.abc import Callable

import msgspec

from serving.gateway.assignment import Assignments
from springtide.contracts.codec import command_decoder
from springtide.contracts.control import Ramp
from springtide.contracts.errors import ContractError

_log = logging.getLogger(__name__)


class Ramps:
    """Obeys `Ramp` commands; other commands are for other processes."""

    def __init__(self, assignments: Assignments, mark: Callable[[Ramp], None]) -> None:
        self._assignments, self._mark = assignments, mark

    def take(self, key: bytes, value: bytes | None) -> None:
        """Take one command.

        Raises:
            ContractError: it is no command, or a ramp of an experiment that is not known.
        """
        try:
            command = command_decoder.decode(value or b"")
        except msgspec.DecodeError as error:
            raise ContractError(f"control: expected a command, got {error}", reason="undecodable") from error
        if not isinstance(command, Ramp):
            return
        if not self._assignments.ramp(command.experiment, command.enrolled):
            raise ContractError(
                f"control: expected a known experiment and a share of 0 to 1, got {command.experiment!r} and "
                f"{command.enrolled}; mend the command"
            )
        _log.info("experiment %s enrols %.0f %% of users", command.experiment, 100 * command.enrolled)
        self._mark(command)
