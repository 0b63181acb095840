"""Settings, saved conversations and their files: what is kept, and what is refused."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from ostinato.cli.places import history_file, saved_names, session_file, sessions_folder
from ostinato.cli.session import Session
from ostinato.cli.settings import SETTINGS, defaults, for_model
from ostinato.cli.slash import candidates, obey


@pytest.fixture(autouse=True)
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def session() -> Session:
    return Session("Tiny", defaults(), [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}])


def file_with(path: Path, **changes: Any) -> Path:
    kept = {"format": "ostinato-session", "version": 1, "model": "Tiny", "settings": {}, "messages": []}
    path.write_text(json.dumps({**kept, **changes}))
    return path


def test_places_follow_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert history_file() == tmp_path / "state" / "ostinato" / "history"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert sessions_folder() == Path("/home/me/.local/share/ostinato/sessions")
    assert history_file() == Path("/home/me/.local/state/ostinato/history")


def test_without_a_home_the_variable_to_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr(Path, "home", nobody)
    with pytest.raises(OSError, match="set XDG_STATE_HOME"):
        history_file()
    with pytest.raises(ValueError, match="~nobody-of-that-name"):
        session_file("~nobody-of-that-name/x.json")


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        ".hidden",
        "../up",
        "/etc/passwd",
        "a/b",
        "a\0b",
        "x\x1b[31m",
        "\n",
        "a" * 200,
        "~root/x",
        "a\0/b.json",
    ],
)
def test_hostile_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError):
        session_file(name)


def test_names_and_paths(tmp_path: Path) -> None:
    assert session_file("my talk") == session_file("my talk.json") == sessions_folder() / "my talk.json"
    assert session_file("Gespräch") == sessions_folder() / "Gespräch.json"
    assert session_file(f"{tmp_path}/x.json") == tmp_path / "x.json"
    assert session_file("~/x.json") == Path.home() / "x.json"


def test_what_is_saved_is_loaded() -> None:
    first = session()
    first.values.update(temperature=0.1, system="Grüße \ud83d", stop=["\n"], seed=2**63)
    path = session_file("one")
    first.save(path)
    assert saved_names() == ["one"]
    assert path.stat().st_mode & 0o777 == 0o600
    second = Session("Other", defaults())
    assert second.load(path) == "Tiny"
    assert (second.messages, second.values) == (first.messages, first.values)
    assert list(path.parent.iterdir()) == [path]


def test_another_file_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "package.json"
    path.write_text('{"name": "something"}')
    with pytest.raises(ValueError, match="no saved conversation"):
        session().save(path)
    assert path.read_text() == '{"name": "something"}'


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "x"}, "no saved conversation"),
        ({"version": 2}, "version 2"),
        ({"settings": []}, "no settings"),
        ({"settings": {"temprature": 1}}, "unknown setting 'temprature'"),
        ({"settings": {"temperature": "hot"}}, "expected a number"),
        ({"settings": {"temperature": True}}, "expected a number"),
        ({"settings": {"temperature": 1e9}}, "expected 0.0 to 100.0"),
        ({"settings": {"seed": 1.5}}, "expected a whole number"),
        ({"settings": {"max_tokens": 0}}, "expected a whole number from 1"),
        ({"settings": {"stop": [""]}}, "expected a text"),
        ({"settings": {"system": None}}, "expected a text"),
        ({"settings": {"verbose": 1}}, "expected on or off"),
        ({"messages": {}}, "its messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, "its messages"),
        ({"messages": [{"role": [], "content": "x"}]}, "its messages"),
        ({"messages": [{"role": "user", "content": None}]}, "its messages"),
        ({"messages": [{"role": "user", "content": "x", "tool": 1}]}, "its messages"),
    ],
)
def test_a_bad_file_changes_nothing(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    current = session()
    with pytest.raises(ValueError, match=message):
        current.load(file_with(tmp_path / "bad.json", **changes))
    assert current == session()


@pytest.mark.parametrize("text", ["", "[]", "null", "[" * 100_000, '{"format": NaN}', "\udcff"])
def test_what_is_no_json_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_bytes(os.fsencode(text))
    with pytest.raises(ValueError, match="no saved conversation"):
        session().load(tmp_path / "bad.json")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    for path in (tmp_path / "pipe.json", tmp_path, tmp_path / "missing.json", Path("/dev/zero")):
        with pytest.raises(ValueError, match="no such file"):
            session().load(path)


def test_settings_as_typed() -> None:
    typed = {"temperature": "0.5", "top_k": "40", "seed": "7", "max_tokens": "9", "stop": '["a", "b"]', "verbose": "on"}
    values = {name: SETTINGS[name].parse(text) for name, text in typed.items()}
    assert values == {
        "temperature": 0.5, "top_k": 40, "seed": 7, "max_tokens": 9, "stop": ["a", "b"], "verbose": True,
    }  # fmt: skip
    assert SETTINGS["seed"].parse("random") is None
    assert SETTINGS["stop"].parse("\n") == ["\n"]


@pytest.mark.parametrize(
    ("name", "text"),
    [("temperature", "nan"), ("temperature", "warm"), ("top_k", "-1"), ("top_p", "1.1"), ("seed", str(2**64)),
     ("max_tokens", "0"), ("stop", "[1]"), ("stop", "["), ("verbose", "maybe"), ("top_k", "9" * 5000)],
)  # fmt: skip
def test_settings_out_of_range(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=name):
        SETTINGS[name].parse(text)


def test_a_seed_is_drawn_for_each_answer() -> None:
    seeds = {for_model(defaults(), 100)["seed"] for _ in range(4)}
    assert len(seeds) == 4
    assert for_model({**defaults(), "seed": 3}, 100)["seed"] == 3
    assert for_model(defaults(), 100)["max_tokens"] == 100


def test_every_setting_can_be_shown_and_set_to_what_is_shown() -> None:
    current = session()
    for name, setting in SETTINGS.items():
        shown = obey(current, f"/set {name}")
        assert shown == f"{name} {setting.show(setting.default)}"
        obey(current, f"/set {name} default")
    assert current.values == defaults()
    listing = obey(current, "/set")
    assert all(name in listing for name in SETTINGS)


def test_a_refused_command_changes_nothing() -> None:
    current = session()
    for line in ("/set temperature", "/set x 1", "/set top_p 2", "/save", "/load", "/load x", "/frobnicate", "/"):
        with contextlib.suppress(ValueError):
            obey(current, line)
    assert current == session()


def test_a_quoted_value_may_have_several_lines() -> None:
    current = session()
    obey(current, '/set system """Be brief.\nBe kind."""')
    assert current.values["system"] == "Be brief.\nBe kind."
    assert current.prompt()[0] == {"role": "system", "content": "Be brief.\nBe kind."}


def test_tab_completes_commands_settings_and_names() -> None:
    session().save(session_file("my talk"))
    assert candidates("/s") == ["/set ", "/save "]
    assert candidates("/set top") == ["top_k ", "top_p "]
    assert candidates("/load m") == ["my talk"]
    assert candidates("/help ") == []


def test_a_listing_keeps_within_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("ostinato.cli.output.is_terminal", lambda: True)
    plain = obey(session(), "/set").replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines()
    assert max(map(len, plain)) <= 60
    assert not any("…" in line for line in plain)
