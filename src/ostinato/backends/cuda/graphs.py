"""One step of a program on a card: its kernels one by one, or a graph of them for a bucket of decode rows.

A graph is captured for the most rows of its bucket; kernels read the true number from StepState.
"""

from __future__ import annotations

from dataclasses import dataclass

from ostinato.backends.batch import Batch
from ostinato.backends.batch_table import Kind
from ostinato.backends.contract import Plan
from ostinato.backends.cuda.driver import Driver, Graph
from ostinato.backends.cuda.grids import Extent, blocks
from ostinato.backends.cuda.image import Image, Staging, Steps
from ostinato.backends.cuda.machine import GENERATED_ONLY
from ostinato.backends.cuda.prompt.launches import Addresses, PromptCall, prompt_calls
from ostinato.backends.device.lower import Call
from ostinato.program.ops_table import Axis

BUCKETS = (1, 2, 4, 8, 16, 32, 64)  # rows of a decode step
_MACHINE = 0  # index of the staging whose Machine graphs name: they need no rings


@dataclass(frozen=True)
class Rows:
    """How many rows of each kind a step has, of T and of R."""

    prompt: int
    generated: int
    prompt_logits: int
    logits: int

    @classmethod
    def of(cls, batch: Batch) -> Rows:
        prompt_logits = sum(span.logit_rows for span in batch.spans if span.kind is Kind.PROMPT)
        return cls(batch.prompt_rows, batch.rows - batch.prompt_rows, prompt_logits, batch.logit_rows)

    def prompts_of(self, call: Call) -> int:
        """Prompt rows of the value that a call works on."""
        rows = {Axis.T: self.prompt, Axis.R: self.prompt_logits}.get(Axis(int(call.words["axis"])), 0)
        return rows * int(call.words["factor"])


class StepLauncher:
    """Launches `begin` and steps of one image. Not for several threads at once."""

    def __init__(self, driver: Driver, image: Image, plan: Plan) -> None:
        self._driver, self._image, self._plan = driver, image, plan
        self._machine = image.stagings[_MACHINE].machine
        self._graphs: dict[int, Graph] = {}
        self._prompt = prompt_calls(image.prefill.calls) if driver.has_prompt_kernels else {}
        self._addresses = Addresses(image.arena, image.weights.entries.__getitem__)

    def begin(self, batch: Batch, staging: Staging) -> None:
        """Brings the batch's changes into StepState."""
        packet = batch.encode()
        staging.packet[: len(packet)] = packet
        self._driver.copy(self._image.packet, staging.packet.ctypes.data, packet.nbytes)
        self._launch(Call("begin", {}), 0, self._extent(batch.rows, batch.logit_rows, len(batch.spans)))

    def step(self, batch: Batch) -> None:
        """One step of the batch that has begun."""
        rows = Rows.of(batch)
        if rows.prompt:
            self._mixed(self._image.prefill, rows, len(batch.spans))
        elif rows.generated <= min(self._plan.max_sequences, BUCKETS[-1]):
            self._graph(bucket_of(rows.generated)).launch()
        else:
            self._direct(self._image.decode, self._extent(rows.generated, rows.logits, len(batch.spans)))

    def close(self) -> None:
        """Gives the graphs back; nothing may be running."""
        while self._graphs:
            self._graphs.popitem()[1].close()

    def _graph(self, bucket: int) -> Graph:
        if bucket not in self._graphs:
            extent = self._extent(bucket, bucket, bucket)
            self._graphs[bucket] = self._driver.capture(lambda: self._direct(self._image.few, extent))
        return self._graphs[bucket]

    def _direct(self, steps: Steps, extent: Extent) -> None:
        for number, call in enumerate(steps.calls, start=steps.first):
            self._launch(call, number, extent)

    def _mixed(self, steps: Steps, rows: Rows, spans: int) -> None:
        """Calls that have a prompt kernel run once per kind of row."""
        extent = self._extent(rows.prompt + rows.generated, rows.logits, spans)
        for number, call in enumerate(steps.calls, start=steps.first):
            prompt = self._prompt.get(number - steps.first)
            if prompt is None:
                self._launch(call, number, extent)
            else:
                self._by_kind(prompt, number, rows, extent)

    def _by_kind(self, prompt: PromptCall, number: int, rows: Rows, extent: Extent) -> None:
        if rows.generated:
            self._launch(prompt.call, number, extent, GENERATED_ONLY)
        if count := rows.prompts_of(prompt.call):
            self._driver.launch_prompt(prompt.launch(count, self._addresses))

    def _launch(self, call: Call, number: int, extent: Extent, flags: int = 0) -> None:
        grid = blocks(call, extent, self._driver.card)
        self._driver.launch(call.phase, self._machine, number, flags, grid)

    def _extent(self, rows: int, logit_rows: int, spans: int) -> Extent:
        return Extent(rows, logit_rows, spans, self._plan.context)


def bucket_of(rows: int) -> int:
    """The smallest bucket that holds so many rows, which the largest does."""
    return next(bucket for bucket in BUCKETS if rows <= bucket)
