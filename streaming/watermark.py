"""Event time of one partition: how far it has come, and which event times are not to be believed."""

import msgspec


class Watermark(msgspec.Struct, array_like=True):
    """Newest believed event time of a partition; it never goes back.

    An event further ahead of the newest than `max_advance_ms` is an outlier and moves nothing. Should
    `outlier_run` of them come in a row, each within `max_advance_ms` of the one before, then time has really
    leapt (the producers had stopped for long), and the last of them is believed.
    """

    newest_ms: int | None = None
    suspect_ms: int = 0
    suspects: int = 0

    def admit(self, event_time_ms: int, max_advance_ms: int, outlier_run: int) -> bool:
        """Move on to an event's time; false when the event is an outlier."""
        if self.newest_ms is None or event_time_ms - self.newest_ms <= max_advance_ms:
            self.suspects = 0
            self.newest_ms = event_time_ms if self.newest_ms is None else max(self.newest_ms, event_time_ms)
            return True
        agrees = self.suspects > 0 and abs(event_time_ms - self.suspect_ms) <= max_advance_ms
        self.suspects = self.suspects + 1 if agrees else 1
        self.suspect_ms = event_time_ms
        if self.suspects < outlier_run:
            return False
        self.newest_ms, self.suspects = event_time_ms, 0
        return True

    def value(self, lateness_ms: int) -> int | None:
        """Give the watermark: every event in time that is strictly older has come. None before the first event."""
        return None if self.newest_ms is None else self.newest_ms - lateness_ms
