"""The captured console: what the terminal shows is untouched, what is kept is clean, capped and complete."""

import doctest
import io
import logging
import os
import subprocess
import sys
import threading

import pytest

import runner.console
from runner.console import (
    MAX_LINE_CHARS,
    ConsoleCapture,
    LineAssembler,
    clean_text,
    final_state,
    innermost_tee,
    keep_only,
    original_stream,
)


@pytest.fixture
def terminal(monkeypatch):
    """Call it for plain streams in place of the terminal: (stdout, stderr)."""

    def replace():  # inside the test: pytest puts its own streams back between a fixture and its test
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        return out, err

    return replace


def test_doctests():
    assert doctest.testmod(runner.console).attempted >= 4
    assert doctest.testmod(runner.console).failed == 0


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("a\x00b\x9bc", "abc"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("äöü 模型", "äöü 模型"),
    ],
)
def test_clean_text(raw, clean):
    assert clean_text(raw) == clean


@pytest.mark.parametrize(
    ("raw", "last"), [("a\rb\rc", "c"), ("done\r", "done"), ("50%\r\x1b[K", "50%"), ("", ""), ("x", "x")]
)
def test_final_state(raw, last):
    assert final_state(raw) == last


def test_assembler_joins_pieces_and_forgets_redrawn_states():
    lines = LineAssembler()
    assert lines.feed("one ") == []
    assert lines.feed("line\ntwo\r\nthr") == ["one line", "two"]
    for percent in range(10_000):
        assert lines.feed(f"\r{percent:5}% of a bar that is redrawn") == []
        assert lines.feed("\r\x1b[") == []
        assert lines.feed("K") == []
    assert len(lines._pending) < 100
    assert lines.pending == " 9999% of a bar that is redrawn"
    assert lines.feed("\rend\n") == ["end"]
    assert lines.flush() == []


def test_assembler_passes_an_endless_line_on_in_pieces():
    lines = LineAssembler()
    got = lines.feed("x" * (2 * MAX_LINE_CHARS + 5))
    assert [len(line) for line in got] == [MAX_LINE_CHARS, MAX_LINE_CHARS]
    assert lines.flush() == ["xxxxx"]
    assert [len(line) for line in lines.feed("y" * (MAX_LINE_CHARS + 1) + "\n")] == [MAX_LINE_CHARS, 1]


def test_keeps_prints_and_logging_and_shows_them_unchanged(terminal):
    out, err = terminal()
    handler = logging.StreamHandler(err)  # bound to the stream before the capture, as libraries do on import
    logger = logging.getLogger("some.library")
    logger.propagate = False
    logger.addHandler(handler)
    kept = []
    try:
        with ConsoleCapture(kept.append):
            print("\x1b[32mepoch 1\x1b[0m")
            print("loss", 0.5, end="\n\n", file=sys.stderr)
            logger.warning("from a logger")
            sys.stdout.writelines(["a", "b"])
        assert handler.stream is err
    finally:
        logger.removeHandler(handler)
    assert kept == ["epoch 1", "loss 0.5", "", "from a logger", "ab"]
    assert out.getvalue() == "\x1b[32mepoch 1\x1b[0m\nab"
    assert err.getvalue() == "loss 0.5\n\nfrom a logger\n"
    assert (sys.stdout, sys.stderr) == (out, err)
    print("after")
    assert kept[-1] == "ab"


def test_keeps_warnings_and_logging_without_a_handler():
    code = """
import logging, warnings
from runner.console import ConsoleCapture
kept = []
with ConsoleCapture(kept.append):
    warnings.warn("careful")
    logging.getLogger("a.b").warning("last resort")
assert "UserWarning: careful" in kept[0] and kept[-1] == "last resort", kept
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("last resort\n")


def test_progress_lines_collapse_to_their_last_state(terminal):
    terminal()
    kept = []
    with ConsoleCapture(kept.append):
        for step in range(100):
            print(f"\r{step + 1}%", end="", file=sys.stderr)
        print(file=sys.stderr)
    assert kept == ["100%"]


def test_the_stream_keeps_its_own_character(terminal):
    out, _ = terminal()
    with ConsoleCapture(lambda line: None), open(os.devnull, "w", encoding="latin-1") as real:
        assert sys.stdout.isatty() is False
        assert original_stream(sys.stdout) is out
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdout", real)
            with ConsoleCapture(lambda line: None):
                assert sys.stdout.fileno() == real.fileno()
                assert sys.stdout.encoding == "latin-1"
                assert sys.stdout.name == os.devnull
                with pytest.raises(UnicodeEncodeError):
                    print("模")
    assert innermost_tee(sys.stdout) is None


def test_the_cap_keeps_the_beginning_and_the_end_and_counts_the_rest(terminal):
    out, _ = terminal()
    kept = []
    with ConsoleCapture(kept.append, max_chars=400) as capture:
        for number in range(100):
            print(f"line {number:04}")  # 10 characters with its end
        assert len(kept) == 31
        assert kept[30].startswith("… 300 characters of console output kept")
        assert capture.tail(2) == "line 0098\nline 0099"
    assert kept[:30] == [f"line {number:04}" for number in range(30)]
    assert kept[31] == "… 60 lines (600 characters) left out …"
    assert kept[32:] == [f"line {number:04}" for number in range(90, 100)]
    assert out.getvalue().count("\n") == 100
    with pytest.raises(ValueError, match="max_chars is 0; it must be greater than 0"):
        ConsoleCapture(kept.append, max_chars=0)


def test_nothing_is_said_about_the_cap_when_all_of_it_fits(terminal):
    terminal()
    kept = []
    with ConsoleCapture(kept.append, max_chars=400):
        for _ in range(35):
            print("nine char")
    assert len([line for line in kept if line == "nine char"]) == 35
    assert not [line for line in kept if "left out" in line]


def test_tail_has_the_unfinished_line_and_survives_the_end(terminal):
    terminal()
    with ConsoleCapture(lambda line: None) as capture:
        print("one\ntwo\nthree")
        print("\r 50%\r 51%", end="")
        assert capture.tail(2) == "three\n 51%"
        assert capture.tail(0) == ""
    assert capture.tail(2) == "three\n 51%"
    assert capture.tail(99) == "one\ntwo\nthree\n 51%"


def test_an_exception_passes_through_and_leaves_its_traceback(terminal):
    out, err = terminal()
    kept = []
    capture = ConsoleCapture(kept.append)

    def fail():
        with capture:
            print("half a line", end="")
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        fail()
    assert sys.stdout is out
    assert kept[:2] == ["half a line", "Traceback (most recent call last):"]
    assert kept[-1] == "ZeroDivisionError: division by zero"
    assert capture.tail(1) == kept[-1]
    assert "Traceback" not in out.getvalue() + err.getvalue()


def test_a_failing_sink_does_not_reach_the_code_that_prints(terminal):
    out, _ = terminal()

    def sink(line):
        raise OSError("disk full")

    with ConsoleCapture(sink) as capture:
        print("still shown")
    assert out.getvalue() == "still shown\n"
    assert str(capture.problem) == "disk full"
    assert capture.tail(1) == "still shown"


def test_what_the_sink_prints_is_shown_but_not_captured(terminal):
    out, _ = terminal()
    kept = []

    def sink(line):
        kept.append(line)
        print("saved", line)

    with ConsoleCapture(sink):
        print("a")
        print("b")
    assert kept == ["a", "b"]
    assert out.getvalue() == "a\nsaved a\nb\nsaved b\n"


def test_a_sink_that_waits_for_a_lock_whose_holder_prints_does_not_deadlock(terminal):
    terminal()
    kept, lock, in_sink = [], threading.Lock(), threading.Event()

    def sink(line):
        in_sink.set()
        with lock:
            kept.append(line)

    with ConsoleCapture(sink):
        lock.acquire()
        writer = threading.Thread(target=print, args=("from the writer",))
        writer.start()
        assert in_sink.wait(5)
        print("from the holder of the lock")  # must return while the sink is stuck
        lock.release()
        writer.join(5)
    assert kept == ["from the writer", "from the holder of the lock"]


def test_threads_lose_and_mix_nothing(terminal):
    terminal()
    kept = []

    def work(name):
        for number in range(200):
            sys.stdout.write(f"{name} {number}\n")

    with ConsoleCapture(kept.append):
        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(kept) == 800
    for name in "abcd":
        assert [line for line in kept if line.startswith(name)] == [f"{name} {n}" for n in range(200)]


def test_nested_captures_each_keep_their_part_even_when_closed_out_of_order(terminal):
    out, _ = terminal()
    outer_kept, inner_kept = [], []
    outer, inner = ConsoleCapture(outer_kept.append), ConsoleCapture(inner_kept.append)
    with outer:
        print("1")
        with inner:
            print("2")
            keep_only(sys.stdout, "log only")
        print("3")
    assert (outer_kept, inner_kept) == (["1", "2", "log only", "3"], ["2", "log only"])
    assert out.getvalue() == "1\n2\n3\n"

    first, second = ConsoleCapture(outer_kept.append), ConsoleCapture(inner_kept.append)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    print("4")
    second.__exit__(None, None, None)
    print("5")
    assert (outer_kept[-1], inner_kept[-1]) == ("3", "4")
    assert out.getvalue().endswith("4\n5\n")
    with pytest.raises(RuntimeError, match="captures once"):
        first.__enter__()


def test_keep_only_does_not_join_an_unfinished_line(terminal):
    _, err = terminal()
    kept = []
    with ConsoleCapture(kept.append):
        print("\r10%", end="", file=sys.stderr)
        keep_only(sys.stderr, "validation · f1 0.9")
        print("\r11%", file=sys.stderr)
    assert kept == ["validation · f1 0.9", "11%"]
    keep_only(sys.stderr, "nothing happens")
    assert "validation" not in err.getvalue()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_prints_but_does_not_reach_the_sink():
    code = """
import os, sys
from runner.console import ConsoleCapture
kept = []
with ConsoleCapture(lambda line: kept.append((os.getpid(), line))):
    print("parent"); sys.stdout.flush()
    child = os.fork()
    if child == 0:
        print("child"); sys.stdout.flush()
        os._exit(3 if len(kept) > 1 else 0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
assert status == 0, status
assert [line for _, line in kept] == ["parent"], kept
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "parent\nchild\n", "")


def test_a_closed_pipe_is_reported_as_it_would_be_without_the_capture(monkeypatch):
    reader, writer = os.pipe()
    with open(writer, "w", buffering=1) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        os.close(reader)
        with pytest.raises(BrokenPipeError), ConsoleCapture(lambda line: None):
            print("nobody reads")
        monkeypatch.undo()
        with pytest.raises(BrokenPipeError):
            stream.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)  # so that closing it is quiet
