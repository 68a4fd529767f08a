"""The one line of progress."""

from datetime import UTC, datetime

from trainer.progress import Progress


def status_line(progress: Progress, chains: tuple[str, ...], *, reading: bool) -> str:
    """Return where the trainer is, such as `minute-3.12: newest event 2026-03-04 11:02, 81,204 rows, click NE 0.87`."""
    chain = "minute" if "minute" in chains else chains[0]
    state = progress.chain(chain)
    if not state.rows:
        return "waiting for samples"
    newest = datetime.fromtimestamp(state.newest_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
    parts = [f"newest event {newest}", f"{state.rows:,} rows"]
    entropy = progress.quality(chain, "click", "matured").report().normalized_entropy
    if entropy is not None:
        parts.append(f"click NE {entropy:.2f}")
    if not reading:
        parts.append("waiting")
    return f"{state.version or chain}: {', '.join(parts)}"
