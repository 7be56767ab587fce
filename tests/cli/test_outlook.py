"""What more time would bring, by the held-out losses."""

from monge.cli.outlook import outlook


def log(losses):
    """One held-out loss every second row."""
    rows = [{"step": str(1000 * i), "loss": "1.0", "held-out loss": ""} for i in range(1, 1 + 2 * len(losses))]
    for i, loss in enumerate(losses):
        rows[2 * i + 1]["held-out loss"] = str(loss)
    return rows


def test_the_second_half_is_what_is_told():
    assert outlook(log([4.0, 3.0, 2.5, 2.25])) == (
        "held-out loss 2.25, at half time 3: twice the time would likely take off up to as much again (0.75)"
    )
    assert outlook(log([-4.0, -5.0, -5.5, -6.0])).endswith("(1)")


def test_a_loss_that_stands_still_or_rises_is_no_reason_to_go_on():
    assert outlook(log([4.0, 3.0, 3.0, 2.999])).endswith("more time would bring little")
    assert outlook(log([-4.0, -5.0, -5.5, -5.0])).endswith("more time would bring little")


def test_a_loss_that_rises_for_long_asks_for_rows_and_not_for_time():
    assert outlook(log([4.0, 3.0, 3.5, 4.5])) == (
        "held-out loss 4.5, and 3 at step 4,000: more time would not help, more rows would"
    )


def test_a_run_that_is_far_from_done_is_given_no_leave_to_stop():
    """phi^4 after 227 steps: the loss stood still, and four times the time halved the failing line."""
    short = [{**row, "step": str(int(row["step"]) // 50)} for row in log([3.0, 3.0, 3.0, 3.0])]
    assert outlook(short) == "held-out loss 3 after 160 steps, which are few: more time is likely to help"


def test_nothing_is_told_of_what_was_not_measured():
    assert outlook([]) is None
    assert outlook([{"step": "10", "loss": "1.0"}]) is None
    assert outlook(log([])) is None
    assert outlook(log([3.0])) is None
