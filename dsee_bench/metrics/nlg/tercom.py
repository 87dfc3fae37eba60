"""Translation edit rate (Snover et al. 2006): word edits, with a moved phrase counted as one, per reference word.

The greedy search of the paper (Section 3) leaves ties and limits open; where it does, this follows tercom 0.7.25, since
the WebNLG challenge's scores are tercom's: phrases of at most 10 words move at most 50 places; the longest phrase that
saves most goes first; among equal alignments a match or substitution is taken before an insertion, that before a
deletion; an alignment that falls 20 edits behind is given up. With these five published totals come out to the edit.
"""

from collections.abc import Iterator, Sequence

MAX_PHRASE = 10  # words
MAX_MOVE = 50  # positions
BEAM = 20  # an alignment that costs this much more than the best so far is given up
NEVER = 10**9  # the cost of what the beam does not reach

# Words are coded as single characters, so that a sentence is a string and rapidfuzz compares it in C.


def edits_and_length(output: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[int, float]:
    """Return edits from the words of `output` to the nearest of `references`, and their mean length in words."""
    code: dict[str, str] = {}

    def coded(words: Sequence[str]) -> str:
        return "".join(code.setdefault(word, chr(0x20000 + len(code))) for word in words)

    hypothesis = coded(output)
    edits = min(edits_between(hypothesis, coded(reference)) for reference in references)
    return edits, sum(map(len, references)) / len(references)


def edits_between(hypothesis: str, reference: str) -> int:
    """Count the insertions, deletions, substitutions and phrase moves that turn `hypothesis` into `reference`."""
    moves = 0
    left = distance_between(hypothesis, reference)
    while left > 0:
        saved, moved = best_move(hypothesis, reference, left)
        if saved <= 0:
            break
        moves, left, hypothesis = moves + 1, left - saved, moved
    return moves + left


def best_move(hypothesis: str, reference: str, left: int) -> tuple[int, str]:
    """Return the edits that the best single move saves (0 if none does), and the hypothesis after it.

    `left` is the plain edit distance before the move.
    """
    hypothesis_wrong, reference_wrong, last_used = align(hypothesis, reference)
    saved, best = 0, hypothesis
    for length, shared in reversed(shared_phrases(hypothesis, reference)):
        if saved >= 2 * length:  # a phrase of this length can save no more
            break
        for start, place in shared:
            if not any(hypothesis_wrong[start : start + length]) or not any(reference_wrong[place : place + length]):
                continue
            if start <= last_used[place] < start + length or abs(last_used[place] - start) > MAX_MOVE:
                continue
            for moved in moves_of(hypothesis, start, length, targets(last_used, place, length)):
                distance = distance_between(moved, reference, below=left - saved)
                if distance < NEVER:
                    saved, best = left - distance, moved
    return saved, best


def shared_phrases(hypothesis: str, reference: str) -> list[tuple[int, list[tuple[int, int]]]]:
    """Return (length, [(start in hypothesis, start in reference), ...]) of common phrases, the shortest first."""
    phrases: list[tuple[int, list[tuple[int, int]]]] = []
    for length in range(1, MAX_PHRASE + 1):
        places: dict[str, list[int]] = {}
        for place in range(len(reference) - length + 1):
            places.setdefault(reference[place : place + length], []).append(place)
        starts = range(len(hypothesis) - length + 1)
        pairs = [(start, place) for start in starts for place in places.get(hypothesis[start : start + length], ())]
        if not pairs:  # so there is no longer one either
            break
        phrases.append((length, pairs))
    return phrases


def targets(last_used: list[int], place: int, length: int) -> list[int]:
    """Return the indices in the hypothesis before which a phrase at `place` of the reference may be inserted."""
    after = [last_used[at] + 1 if at >= 0 else 0 for at in range(place - 1, place + length)]
    return list(dict.fromkeys(after))


def moves_of(hypothesis: str, start: int, length: int, indices: list[int]) -> Iterator[str]:
    """Yield `hypothesis` with the phrase at `start` moved before each of `indices` that is outside the phrase."""
    phrase, rest = hypothesis[start : start + length], hypothesis[:start] + hypothesis[start + length :]
    for index in indices:
        if index <= start:
            yield rest[:index] + phrase + rest[index:]
        elif index >= start + length:
            yield rest[: index - length] + phrase + rest[index - length :]


def align(hypothesis: str, reference: str) -> tuple[list[bool], list[bool], list[int]]:
    """Return one cheapest alignment.

    It says which words of the hypothesis and of the reference are wrong, and for each reference word the index of the
    last hypothesis word used up to it (-1 where none is).
    """
    rows = _costs(hypothesis, reference)
    i, j = len(hypothesis), len(reference)
    hypothesis_wrong, reference_wrong, last_used = [True] * i, [True] * j, [-1] * j
    while i > 0 or j > 0:
        if i > 0 and j > 0 and rows[i][j] == rows[i - 1][j - 1] + (hypothesis[i - 1] != reference[j - 1]):
            i, j = i - 1, j - 1
            last_used[j] = i
            hypothesis_wrong[i] = reference_wrong[j] = hypothesis[i] != reference[j]
        elif i > 0 and rows[i][j] == rows[i - 1][j] + 1:
            i -= 1
        else:
            j -= 1
            last_used[j] = i - 1
    return hypothesis_wrong, reference_wrong, last_used


def distance_between(hypothesis: str, reference: str, below: int = NEVER) -> int:
    """Count the words to insert, delete or substitute, as the beam finds them; NEVER if not less than `below`."""
    from rapidfuzz.distance import Levenshtein

    distance: int = Levenshtein.distance(hypothesis, reference)
    if BEAM < distance < below:  # no step of a path as cheap as the beam is wide can have been given up
        distance = _costs(hypothesis, reference)[-1][-1]
    return distance if distance < below else NEVER


def _costs(hypothesis: str, reference: str) -> list[list[int]]:
    """costs[i][j]: of turning `hypothesis[:i]` into `reference[:j]`; NEVER where the beam gave up.

    The innermost loop of the metric: plain comparisons, since `min` makes a system take a minute.
    """
    costs = [[NEVER] * (len(reference) + 1) for _ in range(len(hypothesis) + 1)]
    costs[0][0] = 0
    best = NEVER  # of the matches and substitutions of the hypothesis word before
    for word, row, below in zip(hypothesis, costs, costs[1:], strict=False):
        given_up, best = min(best + BEAM, NEVER - 1), NEVER
        for j, other in enumerate(reference):
            cost = row[j]
            if cost > given_up:
                continue
            edit = cost + 1
            if edit < row[j + 1]:
                row[j + 1] = edit
            if edit < below[j]:
                below[j] = edit
            below[j + 1] = step = cost if word == other else edit
            if step < best:
                best = step
        if row[-1] <= given_up:
            below[-1] = min(below[-1], row[-1] + 1)
    last = costs[-1]
    for j in range(len(reference)):
        if last[j] + 1 < last[j + 1]:
            last[j + 1] = last[j] + 1
    return costs
