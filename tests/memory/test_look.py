"""What the machine lets a store do, and how `doctor` says it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ostinato import _memory
from ostinato.memory.machine import cgroup_limit, look
from tests.cli.support import call
from tests.support import BUILTIN


def group(tmp_path: Path, line: str, files: dict[str, str]) -> int | None:
    (tmp_path / "membership").write_text(line)
    for name, text in files.items():
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(text + "\n")
    return cgroup_limit(tmp_path / "membership", tmp_path / "root")


@pytest.mark.parametrize(
    ("line", "files", "limit"),
    [
        ("0::/a/b", {"a/memory.max": "5000", "a/b/memory.max": "max"}, 5000),
        ("0::/a/b", {"a/memory.max": "5000", "a/b/memory.max": "300"}, 300),
        ("0::/", {"memory.max": "max"}, None),
        ("0::/seen/from/outside", {"memory.max": "77"}, 77),
        ("4:cpu,memory:/a\n0::/", {"memory/a/memory.limit_in_bytes": "900"}, 900),
        ("4:memory:/", {"memory/memory.limit_in_bytes": "9223372036854771712"}, None),
        ("3:cpu:/a\nnonsense", {"memory.max": "7"}, None),
        ("", {}, None),
    ],
)
def test_the_least_limit_on_the_way_up(tmp_path: Path, line: str, files: dict[str, str], limit: int | None) -> None:
    assert group(tmp_path, line, files) == limit


def test_no_groups_at_all(tmp_path: Path) -> None:
    assert cgroup_limit(tmp_path / "nothing", tmp_path) is None


def test_how_a_file_can_be_read(tmp_path: Path) -> None:
    found = look(BUILTIN)
    assert (found.direct_block is None) == bool(found.refusal)
    assert found.direct_block is None or found.direct_block % 512 == 0
    with pytest.raises(_memory.ReadError, match="missing"):
        look(tmp_path / "missing.gguf")


def test_doctor_says_so() -> None:
    found = json.loads(call("doctor", "--json").stdout)["store"]
    assert set(found) == {"path", "direct_block", "refusal", "locked_bytes", "limit_bytes", "pinnable_bytes"}
    text = call("doctor", str(BUILTIN)).stdout
    section = text[text.index("weights that stream") :]
    assert "direct I/O" in section
    assert "lockable memory" in section
    assert "memory limit" in section
    assert "pinned" in section
    assert "missing.gguf" in call("doctor", "missing.gguf").stderr
