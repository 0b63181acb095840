"""Every shader is translated to Metal's and Direct3D's languages by naga, and compiled by a browser's own compiler.

naga is what wgpu uses on those systems; Tint, in Chromium, is stricter: it proves that all invocations reach a barrier.
Neither knows whether a card computes the right numbers.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from ostinato.backends.device.phases_table import BY_NAME
from tests.backends.webgpu.browser import compile_in_browser, find_browser
from tests.backends.webgpu.variants import Shader, shaders

FOLDER = Path(__file__).parent / "translation"
NODE, CLANG, BROWSER = shutil.which("node"), shutil.which("clang++"), find_browser()
LANES = 256
METAL_HEAD = re.compile(
    r"\[\[max_total_threads_per_threadgroup\((\d+)\)\]\] kernel void main_\((.*?)\n\) \{", re.DOTALL
)
VECTOR = "(?:uint|int|float)[234]"
METAL_VECTOR = re.compile(rf"static_cast<metal::({VECTOR})>\(|\b(?:metal::)?({VECTOR})\(")  # conversions of vectors

needs_naga = pytest.mark.skipif(
    NODE is None or not (FOLDER / "node_modules").is_dir(),
    reason="needs Node.js and naga: npm ci --prefix tests/backends/webgpu/translation",
)
needs_clang = pytest.mark.skipif(CLANG is None, reason="needs clang++: apt install clang")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="needs Chromium: apt install chromium")

DIVERGING = Shader(
    "diverging",
    """
    @group(0) @binding(0) var<storage, read_write> arena: array<u32>;
    @compute @workgroup_size(64) fn main(@builtin(local_invocation_index) lane: u32) {
      if (arena[lane] > 3u) { workgroupBarrier(); }
    }
    """,
    {},
)
LARGE = Shader(
    "large",
    """
    @group(0) @binding(0) var<storage, read_write> arena: array<u32>;
    override words: u32;
    var<workgroup> kept: array<u32, words>;
    @compute @workgroup_size(64) fn main(@builtin(local_invocation_index) lane: u32) { kept[lane] = arena[lane]; }
    """,
    {"words": 4097.0},  # a word more than WebGPU's default limit
)
WRONG = Shader("wrong", "@compute @workgroup_size(64) fn main() { let x: u32 = 1.5; }", {})


@pytest.fixture(scope="module")
def translations() -> dict[str, dict[str, str]]:
    """{"msl", "hlsl"} of every shader, or {"error"}."""
    return translate((*shaders(), WRONG))


def translate(given: Sequence[Shader]) -> dict[str, dict[str, str]]:
    assert NODE is not None
    work = json.dumps([{"name": shader.name, "code": shader.substituted} for shader in given])
    done = subprocess.run([NODE, FOLDER / "translate.mjs"], input=work, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def of_phase(phase: str) -> list[Shader]:
    return [shader for shader in shaders() if shader.phase == phase]


def bound(phase: str) -> set[str]:
    """Buffers that the phase's shader uses, by its own names; not all need StepState."""
    row = BY_NAME[phase]
    places = {"arena", "call"} if row.places else set()
    return {"state", *places, *row.weights, *row.state.split()}


@needs_naga
@pytest.mark.parametrize("phase", BY_NAME)
def test_metal(phase: str, translations: dict[str, dict[str, str]]) -> None:
    """Entry point, buffers and the workgroup's size are there; no type that Metal lacks, no subgroup unasked."""
    for shader in of_phase(phase):
        found = translations[shader.name]
        assert "error" not in found, f"{shader.name}: {found.get('error')}"
        head = METAL_HEAD.search(found["msl"])
        assert head, shader.name
        assert int(head[1]) <= LANES
        buffers = {word.rstrip("_") for word in re.findall(r"& (\w+) \[\[", head[2])} - {"_buffer_sizes"}
        assert bound(phase) - {"state"} <= buffers <= bound(phase), shader.name
        assert not re.search(r"\bdouble\b", found["msl"])
        assert ("simd_" in found["msl"]) <= ("subgroup" in shader.code), shader.name


def clang_says(folder: Path, texts: Sequence[str]) -> str:
    """Errors in Metal's language, a dialect of C++; metal/ declares what the texts take from Metal's library."""
    assert CLANG is not None
    files = []
    for number, text in enumerate(dict.fromkeys(texts)):
        files.append(folder / f"{number}.cpp")
        files[-1].write_text(METAL_VECTOR.sub(lambda match: f"make_{match[1] or match[2]}(", text))
    command = [CLANG, "-std=c++17", "-fsyntax-only", "-Wno-everything", f"-I{FOLDER / 'metal'}", *files]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


@needs_naga
@needs_clang
@pytest.mark.parametrize("phase", BY_NAME)
def test_metal_by_clang(phase: str, translations: dict[str, dict[str, str]], tmp_path: Path) -> None:
    assert clang_says(tmp_path, [translations[shader.name]["msl"] for shader in of_phase(phase)]) == ""


@needs_naga
@needs_clang
@pytest.mark.parametrize(("part", "other"), [("metal::fma(", "metal::fms("), ("uint row", "metal::float2 row")])
def test_clang_refuses_what_it_should(
    part: str, other: str, translations: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    text = translations["attend_merge half=0"]["msl"]
    assert part in text
    assert "error" in clang_says(tmp_path, [text.replace(part, other, 1)])


@needs_naga
@pytest.mark.parametrize("phase", BY_NAME)
def test_direct3d(phase: str, translations: dict[str, dict[str, str]]) -> None:
    for shader in of_phase(phase):
        found = translations[shader.name]
        assert "error" not in found, f"{shader.name}: {found.get('error')}"
        assert re.search(r"\[numthreads\(\d+, \d+, \d+\)\]\nvoid main\(", found["hlsl"]), shader.name
        assert bound(phase) <= set(re.findall(r"(\w+?)_? : register\(", found["hlsl"])), shader.name
        assert "Wave" not in found["hlsl"] or "subgroup" in shader.code


@needs_naga
def test_a_wrong_shader_is_not_translated(translations: dict[str, dict[str, str]]) -> None:
    assert "error" in translations["wrong"]


@pytest.fixture(scope="module")
def errors() -> dict[str, str]:
    """What the browser said of all shaders. Pipelines take it seconds, so one shader of each phase gets its own."""
    assert BROWSER is not None
    chosen = {shader.phase: shader.name for shader in shaders()}
    found = compile_in_browser(BROWSER, (*shaders(), DIVERGING, LARGE, WRONG), {*chosen.values(), "large"})
    if not found["adapter"]:
        pytest.skip(f"the browser has no WebGPU: {found.get('problem', 'no adapter')}")
    return found["errors"]


@needs_browser
@pytest.mark.parametrize("phase", BY_NAME)
def test_browser(phase: str, errors: dict[str, str]) -> None:
    """Uniform where barriers are, valid, and within WebGPU's default limits."""
    assert {shader.name: errors[shader.name] for shader in of_phase(phase) if errors[shader.name]} == {}


@needs_browser
def test_the_browser_refuses_what_it_should(errors: dict[str, str]) -> None:
    assert "uniform control flow" in errors["diverging"]
    assert "workgroup storage" in errors["large"]
    assert errors["wrong"]


def test_no_phase_is_left_out() -> None:
    assert {shader.phase for shader in shaders()} == set(BY_NAME)
