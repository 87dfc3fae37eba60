"""Texts that a finished run or an exported model writes for rows, by the run's own prompt and search."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dsee_bench.deploy.manifest import TaskOutputs
from dsee_bench.system.errors import UserError
from dsee_bench.tasks.generation import Decoding
from dsee_bench.tasks.rows import Row
from dsee_bench.tasks.template import Template, texts_at
from dsee_bench.tasks.totto import with_line
from dsee_bench.training.decode import decode

CHUNK = 64  # batches whose prompts are sorted by length together, and whose texts come at once


def write(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    outputs: TaskOutputs,
    rows: Sequence[Row],
    column: str | None,
) -> Iterator[list[str]]:
    """Yield the texts for `rows`, some at a time, in their order.

    The prompt is made as the run made it; or it is what stands in `column`, if that is given. ValueError names file,
    line and rule for a row without a prompt.
    """
    writes = outputs.get("writes")
    if writes is None:
        raise UserError(f"{outputs['name']} does not say how it writes texts; give the folder that a run exported")
    contexts = contexts_of(writes, rows, column)
    decoding = replace(Decoding(**writes["decode"]), contexts=None)
    longest = outputs["max_length"] if writes["continued"] else None
    size = CHUNK * decoding.batch_size
    for at in range(0, len(contexts), size):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "decode.jsonl"
            yield list(
                decode(model, tokenizer, contexts[at : at + size], decoding, file, longest, outputs.get("truncate"))
            )


def contexts_of(writes: Mapping[str, Any], rows: Sequence[Row], column: str | None) -> list[str]:
    """Return the prompt of each row."""
    if column is not None:
        return [" ".join(texts_at(row, column)) for row in rows]
    if writes["prompt"] is None:
        raise UserError("the rows of this task were read from no columns; name that of the contexts by --texts")
    template = Template(writes["prompt"])
    return [template.fill(with_line(row) if writes["linearize"] else row) for row in rows]
