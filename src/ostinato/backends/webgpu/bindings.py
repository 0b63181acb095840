"""What shaders bind, all in group 0: a number for every operand, and which of them each phase has."""

from __future__ import annotations

from ostinato.backends.device.phases_table import BY_NAME

ARENA, STATE, CALL, WEIGHTS, KV, PACKET, RESULT = 0, 1, 2, 3, 6, 7, 8  # as in prelude.wgsl and emit.wgsl_call
UNIFORM, READ, WRITE = "uniform", "read-only-storage", "storage"  # WebGPU's names of what a buffer is bound as
_STATE = {"kv": KV, "packet": PACKET, "result": RESULT}  # by the words of Phase.state


def bindings(phase: str) -> dict[int, str]:
    """What a phase binds: arena and StepState, and by the table its places, weights (from WEIGHTS on) and state."""
    row = BY_NAME[phase]
    found = {ARENA: WRITE, STATE: WRITE}
    if row.places:
        found[CALL] = UNIFORM
    found |= {WEIGHTS + index: READ for index in range(len(row.weights))}
    for name in row.state.split():
        found[_STATE[name]] = READ if name == "packet" else WRITE
    return found
