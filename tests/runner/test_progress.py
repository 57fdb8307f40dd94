"""The progress displays: what each writes, what it leaves out, and that the log stays whole."""

import doctest
import io
import math
import os
import pty
import re
import subprocess
import sys
import time

import pytest

import runner.progress
from runner.console import ConsoleCapture, clean_text
from runner.progress import PlainProgress, Progress, make_progress


class Clock:
    """Stands in for `time` where only its monotonic clock is read."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(runner.progress, "time", clock)
    return clock


def test_doctests():
    result = doctest.testmod(runner.progress)
    assert (result.failed, result.attempted >= 2) == (0, True)


def test_plain_lines_come_every_five_seconds_with_speed_and_time_left(clock):
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.start(1_000, "lora")
    for step in range(1, 1_001):
        clock.now += 0.02
        progress.step(step, step / 500, {"loss": 1 / step}, examples_seen=32 * step)
    progress.evaluation("validation", {"accuracy": 0.91234, "macro_f1": math.nan}, step=1_000)
    progress.finish("lora finished")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "lora · 1,000 steps"
    assert lines[1] in {
        f"lora · step {step}/1,000 (25%) · epoch 0.50 · 1,600 examples/s · 0:15 left · loss {1 / step:.4g}"
        for step in (250, 251)
    }
    assert len(lines) == 1 + 4 + 2
    assert lines[-3] == "lora · step 1,000/1,000 (100%) · epoch 2.00 · 1,600 examples/s · loss 0.001"
    assert lines[-2:] == ["validation at step 1,000 · accuracy 0.9123 · macro_f1 nan", "lora finished"]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", stream.getvalue())


def test_the_last_step_is_shown_however_soon_it_comes(clock):
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.start(2, "head")
    progress.step(1, 0.5)
    progress.step(2, 1.0)
    assert stream.getvalue().splitlines()[1:] == ["head · step 2/2 (100%) · epoch 1.00"]


def test_a_resumed_run_takes_its_time_left_from_its_own_steps(clock):
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.start(1_000, "lora", first_step=900)
    clock.now += 10
    progress.step(910, 9.1)
    assert stream.getvalue().splitlines() == [
        "lora · 1,000 steps, from step 900",
        "lora · step 910/1,000 (91%) · epoch 9.10 · 1:30 left",
    ]


def test_speed_follows_the_last_half_minute(clock):
    progress = PlainProgress(io.StringIO())
    progress.start(None, "lora")
    for step in range(1, 101):
        clock.now += 1
        progress.step(step, 0.0, examples_seen=10 * step)
    for step in range(101, 141):
        clock.now += 1
        progress.step(step, 0.0, examples_seen=1_000 + 50 * (step - 100))
    assert progress._rates() == (50.0, None)
    assert len(progress._marks) <= 33


def test_control_characters_in_names_do_not_reach_the_terminal():
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.start(3, "evil\x1b[2J\nname")
    progress.message("a\x07\r\nb")
    progress.evaluation("test\x1b[31m", {"f\x1b[0m1": 1.0})
    assert stream.getvalue() == "evil name · 3 steps\na b\ntest · f1 1\n"


def test_reading_says_each_file_once_and_slow_ones_more_often(clock):
    stream = io.StringIO()
    with PlainProgress(stream) as progress:
        for n_rows in range(0, 3_001, 1_000):
            progress.reading("train.csv", n_rows)
        for n_rows in range(1, 11):
            clock.now += 1
            progress.reading("test.csv", n_rows * 100)
        progress.start(10, "head")
    assert stream.getvalue().splitlines() == [
        "train.csv: 3,000 rows",
        "test.csv: 600 rows",
        "test.csv: 1,000 rows",
        "head · 10 steps",
    ]


def test_quiet_shows_warnings_and_the_end_and_logs_the_rest(monkeypatch):
    err = io.StringIO()
    monkeypatch.setattr(sys, "stderr", err)
    kept = []
    with ConsoleCapture(kept.append):
        progress = make_progress("quiet")
        assert type(progress) is Progress
        progress.reading("train.csv", 5)
        progress.start(2, "head")
        progress.step(1, 0.5, {"loss": 1.0})
        progress.message("a message")
        progress.evaluation("test", {"f1": 0.5})
        progress.warning("one class has one example")
        progress.finish("done")
    assert err.getvalue() == "warning: one class has one example\ndone\n"
    assert kept == [
        "train.csv: 5 rows",
        "a message",
        "test · f1 0.5",
        "warning: one class has one example",
        "done",
    ]


def test_auto_is_plain_without_a_terminal_and_with_a_dumb_one(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    assert type(make_progress("auto", io.StringIO())) is PlainProgress
    monkeypatch.setenv("TERM", "dumb")
    assert type(make_progress("auto", Terminal())) is PlainProgress
    monkeypatch.setenv("TERM", "xterm")
    assert type(make_progress("auto", Terminal())).__name__ == "RichProgress"
    with pytest.raises(ValueError, match="'loud'; it must be one of auto, rich, plain, quiet"):
        make_progress("loud")


def test_a_closed_stream_does_not_end_the_training():
    stream = io.StringIO()
    progress = PlainProgress(stream)
    stream.close()
    progress.start(3, "head")
    progress.step(3, 1.0)
    progress.finish("done")


def test_plain_and_quiet_do_not_import_rich():
    code = (
        "import sys; from runner.progress import make_progress; make_progress('plain'); make_progress('quiet');"
        "sys.exit('rich' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


RICH_SCRIPT = """
import sys, time, logging
from runner.console import ConsoleCapture
from runner.progress import make_progress
logging.basicConfig(format="%(message)s")
log = open(sys.argv[1], "w", buffering=1)
with ConsoleCapture(lambda line: log.write(line + "\\n")), make_progress("auto") as progress:
    progress.reading("train.csv", 1_234_567)
    time.sleep(0.3)
    progress.start(40, "lo[bold]ra")
    for step in range(1, 41):
        time.sleep(0.02)
        progress.step(step, step / 20, {"loss": 0.125}, examples_seen=32 * step)
        if step == 10:
            print("\\x1b[31mprinted\\x1b[0m", flush=True)
            print("no end", end="", file=sys.stderr)
            print(" yet", file=sys.stderr)
        if step == 20:
            logging.warning("logged")
            progress.evaluation("validation", {"macro_f1": 0.5}, step=20)
            progress.warning("careful")
            time.sleep(0.5)
    progress.finish("all done")
    if len(sys.argv) > 2:
        progress.start(5, "again")
        raise ValueError("broken")
print("after")
"""


def run_on_terminal(*arguments):
    """Run the script with a pseudo-terminal as its terminal; return (exit code, what it showed)."""
    main, side = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "30"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [sys.executable, "-c", RICH_SCRIPT, *arguments], stdin=side, stdout=side, stderr=side, env=environment
    )
    os.close(side)
    shown = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            chunk = os.read(main, 65_536)
        except OSError:  # the other side is closed: the script has ended
            break
        if not chunk:
            break
        shown += chunk
    os.close(main)
    return process.wait(timeout=30), shown.decode()


def test_the_live_bar_and_the_captured_log_do_not_fight(tmp_path):
    code, shown = run_on_terminal(str(tmp_path / "log"))
    assert code == 0
    plain = clean_text(shown)
    assert "train.csv" in plain
    assert "1,234,567 rows" in plain
    assert re.search(r"lo\[bold\]ra ━+.* \d+% \d+/40 · epoch \d\.\d\d · [\d,]+ examples/s", plain)
    assert re.search(r"examples/s · 0:0\d left", plain)
    assert "loss 0.125" in plain
    assert "\x1b[31mprinted\x1b[0m" in shown
    # Every line begins where the bar was cleared, so none is glued to it.
    lines = clean_text(shown.replace("\r", "\n")).splitlines()
    for line in ("printed", "no end yet", "logged", "validation at step 20 · macro_f1 0.5", "all done", "after"):
        assert lines.count(line) == 1
    assert shown.count("\x1b[?25h") == shown.count("\x1b[?25l") == 1  # the cursor is hidden once, then back
    assert (tmp_path / "log").read_text().splitlines() == [
        "train.csv: 1,234,567 rows",
        "printed",
        "no end yet",
        "logged",
        "validation at step 20 · macro_f1 0.5",
        "warning: careful",
        "all done",
    ]


def test_an_exception_takes_the_bar_down(tmp_path):
    code, shown = run_on_terminal(str(tmp_path / "log"), "raise")
    assert code == 1
    assert shown.count("\x1b[?25h") == shown.count("\x1b[?25l") == 2
    assert "ValueError: broken" in clean_text(shown)
    assert "after" not in shown
    assert (tmp_path / "log").read_text().splitlines()[-1] == "ValueError: broken"


def test_output_that_goes_to_a_file_stays_out_of_the_bar(tmp_path, monkeypatch):
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with make_progress("rich") as progress:
        progress.start(2, "head")
        print("data for a pipe")
        print("about it", file=sys.stderr)
        assert sys.stdout is out
        progress.step(2, 1.0)
    assert out.getvalue() == "data for a pipe\n"
    assert "about it\n" in clean_text(err.getvalue())
    assert sys.stderr is err


def test_a_step_of_the_live_bar_is_cheap():
    with make_progress("rich", io.StringIO()) as progress:
        progress.start(20_000, "head")
        began = time.perf_counter()
        for step in range(1, 5_001):
            progress.step(step, 0.1, None, examples_seen=step)
        assert (time.perf_counter() - began) / 5_000 < 200e-6  # some 3 µs on an idle machine
