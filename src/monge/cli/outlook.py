"""What more training time would bring, by the losses of the time there was."""

from collections.abc import Mapping, Sequence

HELD_OUT = "held-out"
LITTLE = 0.005  # of the loss, a fall that is not worth the time
NO_HELP = "more time would not help"
ENOUGH = 1500  # steps before which no fall, or none, says much


def outlook(log: Sequence[Mapping[str, str]]) -> str | None:
    """In words, by how much the held-out loss fell in the second half of a training; None where it was not told, and in
    a game, where no loss says how far it is. Of less than 1,500 steps no more is said than that they are few: large
    scales and rare modes, which make little of a loss, come last.

    log: rows of a log.csv. As much time again brings less than the second half did, as a rule: losses fall as a power
    of the time, and the learning rate comes down in the second half of a training of any length.

    >>> outlook([{"step": str(k), "held-out loss": str(1 / k)} for k in (500, 1000, 2000)])
    'held-out loss 0.0005, at half time 0.001: twice the time would likely take off up to as much again (0.0005)'
    """
    name = next((name for name in (log[-1] if log else {}) if name.startswith(HELD_OUT)), None)
    if name is None or any(column.endswith("/lr") for column in log[0]):
        return None
    losses = {float(row["step"]): float(row[name]) for row in log if row[name] != ""}
    last = max(losses, default=0.0)
    middle = min(losses, key=lambda step: abs(step - last / 2), default=last)
    if middle == last:
        return None
    now, before, lowest = losses[last], losses[middle], min(losses, key=lambda step: losses[step])
    fall = before - now
    if lowest <= middle and losses[lowest] < now - LITTLE * abs(now):
        return f"{name} {now:.4g}, and {losses[lowest]:.4g} at step {lowest:,.0f}: {NO_HELP}, more rows would"
    if last < ENOUGH:
        return f"{name} {now:.4g} after {last:,.0f} steps, which are few: more time is likely to help"
    more = f"twice the time would likely take off up to as much again ({fall:.2g})"
    if fall < LITTLE * abs(before):
        more = "more time would bring little"
    return f"{name} {now:.4g}, at half time {before:.4g}: {more}"
