"""The bar where there is no terminal: a line now and then, with the share done, the numbers and the time left."""

from monge import progress


def test_a_line_now_and_then_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LINE_S", 0.0)
    with progress.bar("drawing", 4) as advance:
        advance(1, loss=0.5)
        advance(1)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("drawing 25%  loss 0.5  0 s, ")
    assert first.endswith(" s left")
    assert second.startswith("drawing 50%  loss 0.5  ")


def test_nothing_is_said_of_what_is_short_or_not_to_be_shown(capsys, monkeypatch):
    with progress.bar("drawing", 4) as advance:
        advance(4)
    monkeypatch.setattr(progress, "LINE_S", 0.0)
    with progress.bar("drawing", 4, show=False) as advance:
        advance(4)
    assert capsys.readouterr().err == ""
