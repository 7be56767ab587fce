"""Threads are all while the cores are free, one beside a busy program, and all again at the end."""

import pytest
import torch

from monge import progress, threads


@pytest.fixture
def two(monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    monkeypatch.setattr(threads, "_told", False)
    yield
    torch.set_num_threads(before)


def rates(monkeypatch, one, two):
    monkeypatch.setattr(threads, "_rate", lambda n, most: {1: one, most: two}[n])


def test_one_thread_beside_a_busy_program_which_is_said_once(two, monkeypatch, recwarn):
    rates(monkeypatch, 100.0, 60.0)
    monkeypatch.setattr(threads, "BEGUN_S", -1.0)
    for _ in range(2):
        with progress.bar("work", 2, show=False) as advance:
            assert torch.get_num_threads() == 2
            advance()
            assert torch.get_num_threads() == 1
            with threads.paced() as tick:  # within, there is nothing to choose
                tick()
                assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    assert sum("another program is busy" in str(w.message) for w in recwarn) == 1


def test_all_threads_where_they_are_quick_and_none_is_looked_at_for_short_work(two, monkeypatch):
    rates(monkeypatch, 100.0, 190.0)
    assert threads.quick(2) == 2
    rates(monkeypatch, 100.0, 60.0)
    with threads.paced() as tick:
        tick()
        assert torch.get_num_threads() == 2
    monkeypatch.setattr(threads, "BEGUN_S", -1.0)
    monkeypatch.setattr(threads, "AGAIN_S", -1.0)
    with threads.paced() as tick:
        tick()
        assert torch.get_num_threads() == 1
        rates(monkeypatch, 100.0, 190.0)  # the other program has ended
        tick()
        assert torch.get_num_threads() == 2


def test_a_rate_is_how_often_work_was_done(two):
    assert threads._rate(1, 2) > 100
