"""The kernel's counts of out-of-memory kills, read from files like its own."""

import pytest

from store.oom import oom_kill_count

EVENTS = "low 0\nhigh 0\nmax 9\noom 3\noom_kill 2\noom_group_kill 0\n"
CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"


@pytest.mark.parametrize(
    ("membership", "files", "count"),
    [
        ("0::/user/a:b\n", {"user/a:b/memory.events": EVENTS}, 2),
        ("0::/\n", {"memory.events": EVENTS}, 2),
        ("0::/seen/from/the/host\n", {"memory.events": EVENTS}, 2),
        ("4:memory:/job/1\n0::/\n", {"memory/job/1/memory.oom_control": CONTROL}, 5),
        ("4:cpu,memory:/job/1\n0::/\n", {"memory/memory.oom_control": CONTROL}, 5),
        ("4:memory:/job\n", {"memory/job/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\n"}, None),
        ("0::/\n", {"memory.events": "oom_kill many\n"}, None),
        ("0::/\n", {}, None),
        (None, {}, None),
        ("nonsense\n", {}, None),
    ],
)
def test_oom_kill_count(tmp_path, membership, files, count):
    cgroups = tmp_path / "cgroup"
    for name, text in files.items():
        (cgroups / name).parent.mkdir(parents=True, exist_ok=True)
        (cgroups / name).write_text(text)
    if membership is not None:
        (tmp_path / "membership").write_text(membership)
    assert oom_kill_count(cgroups, tmp_path / "membership", tmp_path / "vmstat") == count


def test_oom_kill_count_of_this_machine_is_a_count_or_unknown():
    count = oom_kill_count()
    assert count is None or count >= 0


def test_without_a_control_group_the_whole_machine_is_asked(tmp_path):
    (tmp_path / "vmstat").write_text("nr_free_pages 7\noom_kill 4\n")
    assert oom_kill_count(tmp_path, tmp_path / "membership", tmp_path / "vmstat") == 4
