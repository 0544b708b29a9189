import threading

import pytest

from edgeform.apply.outcome import Helpless, Pending, Unchanged
from edgeform.rollout.gate import Verdict
from edgeform.rollout.run import Stop, drive


def done(device):
    return Unchanged(device=device, generation=1)


def run(devices, turn, *, max_parallel=4, stop=None, ended=lambda outcome: None):
    return drive(devices, turn, max_parallel=max_parallel, stop=stop or Stop(), ended=ended)


def test_every_device_gets_exactly_one_turn():
    seen = []
    result = run([f"d{n}" for n in range(40)], lambda d: (seen.append(d), done(d))[1])
    assert sorted(seen) == sorted(f"d{n}" for n in range(40))
    assert len(result.outcomes) == 40
    assert result.verdict is Verdict.GO


def test_no_more_devices_at_once_than_allowed():
    lock, now, most = threading.Lock(), [0], [0]
    gate = threading.Semaphore(0)

    def turn(device):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
            if now[0] == 3:
                for _ in range(12):
                    gate.release()
        gate.acquire(timeout=5)
        with lock:
            now[0] -= 1
        return done(device)

    run([f"d{n}" for n in range(12)], turn, max_parallel=3)
    assert most[0] == 3


def test_a_device_that_needs_hands_leaves_the_others_untouched_and_named():
    def turn(device):
        return Helpless(device=device, detail="dead", hint="") if device == "a" else done(device)

    result = run(["a", "b", "c"], turn, max_parallel=1)
    assert result.verdict is Verdict.STOP
    assert [type(o) for o in result.outcomes] == [Helpless, Pending, Pending]
    assert {o.device for o in result.outcomes} == {"a", "b", "c"}


def test_the_first_ctrl_c_finishes_what_is_in_flight():
    stop, began = Stop(), threading.Event()

    def turn(device):
        began.set()
        assert stop.asked.wait(5)
        return done(device)

    threading.Thread(target=lambda: (began.wait(5), stop.ask())).start()
    result = run(["a", "b"], turn, max_parallel=1, stop=stop)
    assert [type(o) for o in result.outcomes] == [Unchanged, Pending]
    assert result.unfinished == ()


def test_the_second_ctrl_c_lets_go_and_names_what_goes_on_alone():
    stop, began, free = Stop(), threading.Event(), threading.Event()

    def turn(device):
        began.set()
        free.wait(10)
        return done(device)

    def twice():
        began.wait(5)
        stop.ask()
        stop.ask()

    threading.Thread(target=twice).start()
    try:
        result = run(["a", "b"], turn, max_parallel=1, stop=stop)
    finally:
        free.set()
    assert result.unfinished == ("a",)
    assert [o.device for o in result.outcomes] == ["b"]


def test_a_bug_in_a_turn_is_raised_and_not_swallowed():
    def turn(device):
        raise ZeroDivisionError(device)

    with pytest.raises(ZeroDivisionError):
        run(["a"], turn)
