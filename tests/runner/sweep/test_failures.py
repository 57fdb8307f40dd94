from dataclasses import replace

from runner.sweep.failures import is_certain, reason_of, why_stop
from store import Status, Trial
from tests.runner.sweep.recipes import configuration

MEMORY = "out of memory on the device; try a smaller training.batch_size. Tried to allocate {} GiB"


def trial(number: int, status: Status, cause: str | None = None, size: int | None = None) -> Trial:
    parameters = {} if size is None else {"training.batch_size": size}
    made = configuration(number, parameters, status).first
    return replace(made, cause=cause, ended_at=float(number + 1))


def test_failures_of_one_kind_have_one_reason() -> None:
    assert reason_of(MEMORY.format(3)) == reason_of(MEMORY.format(7.5)) == "out of memory"
    assert reason_of("ValueError: bad file /tmp/a17/x.csv at 3") == reason_of(
        "ValueError: bad file /home/b/y.csv at 99"
    )
    assert reason_of("killed: process 17 ended; 01M7ZZ24PVE1DD0TDQ3FVZD7F7") == "killed: process # ended; #"
    assert reason_of("RuntimeError: one") != reason_of("RuntimeError: other")
    assert reason_of(None) == reason_of("") == "unknown"


def test_a_seed_that_diverged_will_again() -> None:
    assert is_certain("loss became NaN by step 10; try a lower training.learning_rate")
    assert is_certain("the model's outputs are no numbers any more at step 3")
    assert not is_certain(MEMORY.format(2))
    assert not is_certain(None)


def test_memory_that_was_all_there_is_is_not_asked_for_again() -> None:
    assert is_certain(MEMORY.format(2), was_alone=True)
    assert is_certain("out of memory: the kernel killed process 17 for memory, by its count", was_alone=True)
    assert not is_certain("RuntimeError: the machine was tired", was_alone=True)


def test_a_row_of_the_same_failure_stops_the_sweep() -> None:
    failed = [trial(i, Status.FAILED, MEMORY.format(i), 32) for i in range(3)]
    assert why_stop(failed, 4) is None, "too few"
    assert why_stop(failed, 3) == (
        "3 of 3 trials failed for the same reason, the last 3 of them in a row: out of memory. "
        "The smallest training.batch_size tried was 32; sweep over smaller ones"
    )
    between = [*failed[:2], trial(2, Status.FINISHED), *[replace(t, ended_at=9.0 + t.number) for t in failed[1:]]]
    assert why_stop(between, 3) is None, "one that worked came between"
    mixed = [*failed[:2], trial(2, Status.FAILED, "RuntimeError: something else")]
    assert why_stop(mixed, 3) is None
    assert why_stop(failed, 3, since=3.5) is None, "all of them are of another day: what they died of may be mended"
    again = [*failed, trial(3, Status.FAILED, MEMORY.format(9), 32)]
    assert str(why_stop(again, 3, since=3.5)).startswith("4 of 4 trials failed for the same reason, the last 4 of them")
    mended = [*failed, trial(3, Status.FINISHED), trial(4, Status.FAILED, MEMORY.format(9))]
    assert why_stop(mended, 3, since=3.5) is None


def test_what_worked_is_said_and_other_causes_are_quoted() -> None:
    trials = [trial(0, Status.FINISHED, size=8), trial(1, Status.PRUNED, size=16)]
    trials += [trial(i, Status.FAILED, MEMORY.format(i), 64) for i in range(2, 4)]
    assert "The largest training.batch_size that worked was 16" in str(why_stop(trials, 2))
    no_size = [trial(i, Status.FAILED, MEMORY.format(i)) for i in range(2)]
    assert "a shorter model.max_length" in str(why_stop(no_size, 2))
    other = [trial(i, Status.FAILED, f"ValueError: label {i} is unknown") for i in range(2)]
    assert str(why_stop(other, 2)).endswith("in a row: ValueError: label 1 is unknown")


def test_only_trials_like_those_that_failed_say_which_batch_works() -> None:
    def of(made: Trial, method: str) -> Trial:
        return replace(made, parameters={**made.parameters, "model.method": method})

    trials = [of(trial(0, Status.FINISHED, size=256), "head"), of(trial(1, Status.FINISHED, size=16), "full")]
    failed = [of(trial(i, Status.FAILED, MEMORY.format(i), 64), "full") for i in range(2, 4)]
    assert "The largest training.batch_size that worked with method full was 16;" in str(why_stop(trials + failed, 2))
    alone = str(why_stop([trials[0], *failed], 2))
    assert "The smallest training.batch_size tried with method full was 64;" in alone
    mixed = [failed[0], of(failed[1], "lora")]
    assert "The largest training.batch_size that worked was 256;" in str(why_stop(trials + mixed, 2))


def test_reused_and_running_trials_say_nothing() -> None:
    failed = [trial(i, Status.FAILED, "x") for i in range(2)]
    others = [replace(trial(2, Status.FINISHED), is_reused=True), trial(3, Status.RUNNING), trial(4, Status.KILLED)]
    assert why_stop([*failed, *others], 2) is not None
