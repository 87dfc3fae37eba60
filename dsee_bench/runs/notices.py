"""Warnings about the data and the scores of a run, one line each, once a run."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dsee_bench.record import Score
from dsee_bench.stages.stage import RunState
from dsee_bench.system.errors import shown
from dsee_bench.system.hardware import multiplies_bf16

LISTED = 5  # classes that a line names


def cut_rows(state: RunState, *, tuned: bool) -> dict[str, int]:
    """Count the rows of each split that are longer than the model reads and are cut.

    Only rows that the run encodes count: of train those that it tunes on, if any; of a text task the decoded prompts.
    """
    from dsee_bench.training.batch import encode_split

    setup = state.setup
    writes = setup.task.kind == "generation"
    counts = _cut_prompts(state) if writes else {}
    for name, split in state.data.items():
        if tuned if name == "train" else not writes:
            rows = setup.recipe.rows_used(len(split)) if name == "train" else None
            counts[name] = encode_split(split, setup.tokenizer, setup.recipe.max_length, rows, setup.truncate).cut
    return counts


def _cut_prompts(state: RunState) -> dict[str, int]:
    from dsee_bench.training.batch import cut_prompts
    from dsee_bench.training.decode import room_for_context

    decoding = state.setup.task.decode  # type: ignore[attr-defined]  # a task that writes texts
    counts = {}
    for name in decoding.splits:
        examples = state.data[name].examples[: decoding.contexts]
        continued = examples[0].continued
        room = room_for_context(state.model, decoding, state.setup.recipe.max_length if continued else None)
        contexts = [example.context for example in examples]
        counts[name] = cut_prompts(contexts, state.setup.tokenizer, room, continued=continued)
    return counts


def of_data(state: RunState, cut: Mapping[str, int]) -> Iterator[str]:
    """Yield a line for each split with cut rows, for classes that train lacks, and for each split of one class."""
    for name, count in cut.items():
        if count:
            limit = f"train.max_length={state.setup.recipe.max_length}"
            if state.setup.task.kind == "generation" and name != "train":
                positions = "the model's positions, less task.decode.new_tokens"
                limit = f"{limit} or {positions}," if state.data[name].examples[0].continued else positions
            how = f" (task.truncate={state.setup.truncate})" if state.setup.truncate else ""
            yield f"{name}: {count} of {_used(state, name)} rows are longer than {limit} and are cut{how}"
    if state.setup.task.kind not in ("classification", "multi_label"):
        return
    for name, split in state.data.items():
        labels = [example.label for example in split.examples[: _used(state, name)]]
        places = {place for label in labels for place in _places(label)}
        present = {state.setup.task.labels[place] for place in places}
        lacking = [label for label in state.setup.task.labels if label not in present]
        if name == "train" and lacking:
            yield f"train: no row is of the class {_listed(lacking)}, so it is not learned; check task.labels"
        elif len(present) == 1 and state.setup.task.kind == "classification":
            yield f"{name}: every row is of the class {_listed(sorted(present))}; scores on it tell little"


def of_precision(precision: str, *, on_cpu: bool) -> Iterator[str]:
    """Yield a line where bfloat16 is asked for on a processor that only emulates it; `auto` takes float32 there."""
    if precision == "bf16" and on_cpu and not multiplies_bf16():
        yield (
            "train.precision=bf16: this processor has no bfloat16 instructions (AVX512_BF16, AMX) and emulates them, "
            "many times slower than float32; train.precision=auto or fp32 is faster here"
        )


def _places(label: Any) -> Iterable[int]:
    """Return the classes that a label stands for: one, several, or none."""
    if isinstance(label, tuple):
        return [place for place, has in enumerate(label) if has]
    return [] if label is None else [int(label)]


def _used(state: RunState, name: str) -> int:
    rows = len(state.data[name])
    if name == "train":
        return state.setup.recipe.rows_used(rows)
    contexts = state.setup.task.decode.contexts if state.setup.task.kind == "generation" else None  # type: ignore[attr-defined]
    return rows if contexts is None else min(rows, contexts)


def _listed(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - LISTED} more" if len(labels) > LISTED else ""
    return f"{', '.join(map(shown, labels[:LISTED]))}{more}"


def of_scores(scores: Sequence[Score]) -> Iterator[str]:
    """Yield a line for each score that is undefined or 0 for a known reason."""
    for score in scores:
        if score.reason is not None:
            value = "undefined" if score.value is None else f"{score.value:g}"
            yield f"{score.split} {score.name} is {value}: {score.reason}"
