"""Which tokens of a long text stay (task.truncate); the special tokens always do.

head       the first ones
tail       the last ones
head_tail  the first quarter, rounded up, and the last ones: 128 and 382 of BERT's 510 (Sun et al. 2019, section 5.3.1)

Of a pair the longer text is cut until both are equally long, then both (longest_first, as transformers has it); each is
then cut at the side that is said.
"""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from dsee_bench.tasks.example import Truncate


def encode_cut(
    first: Sequence[str],
    second: Sequence[str] | None,  # of pairs
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    truncate: Truncate,
) -> tuple[dict[str, list[list[int]]], list[bool]]:
    """Return the tokens of texts or pairs, at most `max_length` each, and which of them were cut."""
    encoded = tokenizer(list(first), None if second is None else list(second), verbose=False)
    if encoded.encodings is None:
        raise ValueError(
            f"task.truncate={truncate} needs a tokenizer that says which text each token is of, as those of the "
            f"tokenizers library do; {type(tokenizer).__name__} does not, so leave task.truncate=null"
        )
    owners = [encoding.sequence_ids for encoding in encoded.encodings]
    chosen = [kept(owner, max_length, truncate) for owner in owners]
    columns = {
        name: [[values[place] for place in places] for values, places in zip(rows, chosen, strict=True)]
        for name, rows in encoded.items()
    }
    return columns, [len(places) < len(owner) for places, owner in zip(chosen, owners, strict=True)]


def kept(owners: Sequence[int | None], max_length: int, truncate: Truncate) -> list[int]:
    """Return the places of the tokens that stay; `owners` has for each its text, 0 or 1, or None for a special one."""
    special = sum(owner is None for owner in owners)
    lengths = [sum(owner == text for owner in owners) for text in (0, 1)]
    room = max_length - special
    if room < 1:
        raise ValueError(
            f"train.max_length={max_length} leaves no room beside {special} special tokens; give at least {special + 1}"
        )
    left = _left_of_pair(lengths, room)
    places = {text: [at for at, owner in enumerate(owners) if owner == text] for text in (0, 1)}
    stay = {at for text in (0, 1) for at in _left_of(places[text], left[text], truncate)}
    return [at for at, owner in enumerate(owners) if owner is None or at in stay]


def _left_of_pair(lengths: Sequence[int], room: int) -> tuple[int, int]:
    """Return how many tokens of each text stay; an odd one goes to the longer text, of equally long ones the second."""
    if sum(lengths) <= room:
        return lengths[0], lengths[1]
    short = min(*lengths, room // 2)
    return (short, room - short) if lengths[0] <= lengths[1] else (room - short, short)


def _left_of(places: Sequence[int], count: int, truncate: Truncate) -> list[int]:
    if count >= len(places):
        return list(places)
    head = {"head": count, "tail": 0, "head_tail": -(-count // 4)}[truncate]
    return [*places[:head], *places[len(places) - (count - head) :]]
