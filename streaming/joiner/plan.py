"""When a slate's rows and its end are due: a function of its state."""

from collections.abc import Iterator

from springtide.runtime.settings import milliseconds
from streaming.config import JoinerConfig
from streaming.joiner.state import Slate
from streaming.joiner.timers import Due, Timer
from streaming.joiner.windows import Windows


class Plan:
    """Makes timers from slates."""

    def __init__(self, windows: Windows, config: JoinerConfig) -> None:
        self._windows = windows
        self._remember_ms = milliseconds(config.remember)
        self._orphan_wait_ms = milliseconds(config.orphan_wait)

    def oldest_ms(self, watermark_ms: int) -> int:
        """Give the time before which an event's slate may be forgotten already, so that the event is of no use."""
        return watermark_ms - self._windows.final_age_ms - self._remember_ms

    def timers_of(self, slate: Slate) -> Iterator[Timer]:
        """Give everything that may fall due for a slate as it is now; what is no more due then does nothing."""
        request_id, windows = slate.request_id, self._windows
        if not slate.complete and not slate.final:
            yield Timer(slate.first_ms + self._orphan_wait_ms, Due.EXPIRE, request_id)
            return
        shown_ms = slate.impression_ms or 0
        if slate.final:
            yield Timer(shown_ms + windows.final_age_ms + self._remember_ms, Due.FORGET, request_id)
            return
        if not slate.observed:
            yield Timer(shown_ms + windows.observed_age_ms, Due.OBSERVED, request_id)
        yield Timer(shown_ms + windows.final_age_ms, Due.FINAL, request_id)
        for fact in slate.labels.values():
            name, delay = f"{fact.task}:{fact.item_id}", slate.delay_ms(fact)
            in_time = windows.counts(fact.task, delay, windows.final_age_ms)
            if in_time and name not in slate.told and (slate.observed or delay > windows.observed_age_ms):
                yield Timer(fact.time_ms, Due.CORRECTED, request_id, name)
