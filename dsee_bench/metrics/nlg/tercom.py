"""Translation edit rate (Snover et al. 2006): word edits, with a moved phrase counted as one, per reference word.

The greedy search of the paper (Section 3) leaves ties and limits open; where it does, this follows tercom 0.7.25, since
the WebNLG challenge's scores are tercom's: phrases of at most 10 words move at most 50 places; the longest phrase that
saves most goes first; among equal alignments a match or substitution is taken before an insertion, that before a
deletion; an alignment that falls 20 edits behind is given up. With these five published totals come out to the edit.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

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
    edits = NEVER
    # The reference that can be nearest comes first, so that most of the others need no search.
    for least, reference in sorted((unshared(hypothesis, text), text) for text in map(coded, references)):
        edits = min(edits, edits_between(hypothesis, reference, least, below=edits))
    return edits, sum(map(len, references)) / len(references)


def unshared(hypothesis: str, reference: str) -> int:
    """Count the words that the longer text has beyond those it shares: no moves bring the edits below it."""
    return max(len(hypothesis), len(reference)) - (Counter(hypothesis) & Counter(reference)).total()


def edits_between(hypothesis: str, reference: str, least: int, below: int = NEVER) -> int:
    """Count the insertions, deletions, substitutions and phrase moves that turn `hypothesis` into `reference`.

    `least` is `unshared`, which stays through all moves. A move itself counts one, so the search ends where the next
    one could save no more than that. Where the count is not less than `below`, any such number is returned.
    """
    moves = 0
    left = distance_between(hypothesis, reference)
    while left > least + 1 and moves + least + 1 < below:
        saved, moved = best_move(hypothesis, reference, left, least)
        if saved <= 0:
            break
        moves, left, hypothesis = moves + 1, left - saved, moved
    return moves + left


def best_move(hypothesis: str, reference: str, left: int, least: int) -> tuple[int, str]:
    """Return the edits that the best single move saves (0 if none does), and the hypothesis after it.

    `left` is the plain edit distance before the move, and no move brings it below `least`.
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
                if distance == least:
                    return left - distance, moved
                if distance < NEVER:
                    saved, best = left - distance, moved
    return saved, best


def shared_phrases(hypothesis: str, reference: str) -> list[tuple[int, list[tuple[int, int]]]]:
    """Return (length, [(start in hypothesis, start in reference), ...]) of common phrases, the shortest first."""
    phrases: list[tuple[int, list[tuple[int, int]]]] = []
    for length in range(1, MAX_PHRASE + 1):
        places = _places(reference, length)
        starts = range(len(hypothesis) - length + 1)
        pairs = [(start, place) for start in starts for place in places.get(hypothesis[start : start + length], ())]
        if not pairs:  # so there is no longer one either
            break
        phrases.append((length, pairs))
    return phrases


@lru_cache(maxsize=MAX_PHRASE)  # one reference is searched again after each move
def _places(reference: str, length: int) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for place in range(len(reference) - length + 1):
        places.setdefault(reference[place : place + length], []).append(place)
    return places


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
    hypothesis_wrong, reference_wrong, last_used = (
        [True] * len(hypothesis),
        [True] * len(reference),
        [-1] * len(reference),
    )
    cells = cells_without_beam(hypothesis, reference) or _cells(hypothesis, reference)
    for (i, j), (next_i, next_j) in pairwise(cells):
        if j > next_j:
            last_used[next_j] = i - 1
        if i > next_i and j > next_j:
            hypothesis_wrong[next_i] = reference_wrong[next_j] = hypothesis[next_i] != reference[next_j]
    return hypothesis_wrong, reference_wrong, last_used


def _cells(hypothesis: str, reference: str) -> list[tuple[int, int]]:
    """Return the cells (i, j) of the cheapest path that the beam leaves, from the end of both texts to their start."""
    rows = _costs(hypothesis, reference)
    i, j = len(hypothesis), len(reference)
    cells = [(i, j)]
    while i > 0 or j > 0:
        if i > 0 and j > 0 and rows[i][j] == rows[i - 1][j - 1] + (hypothesis[i - 1] != reference[j - 1]):
            i, j = i - 1, j - 1
        elif i > 0 and rows[i][j] == rows[i - 1][j] + 1:
            i -= 1
        else:
            j -= 1
        cells.append((i, j))
    return cells


def cells_without_beam(hypothesis: str, reference: str) -> list[tuple[int, int]] | None:
    """Return what `_cells` does, fifty times as fast; None where the beam may have given up that path.

    A cell of the path stays in the beam if it costs at most BEAM more than the cheapest cell (i, any j), and that costs
    at least the words of `hypothesis[:i]` that the reference lacks.
    """
    diagonal_is_free, above_is_cheaper = _steps(hypothesis, reference)
    i, j = len(hypothesis), len(reference)
    cells, edits = [(i, j)], []  # edits: of each step, from the end
    while i > 0 or j > 0:
        same = i > 0 and j > 0 and hypothesis[i - 1] == reference[j - 1]
        if same or (i > 0 and j > 0 and not diagonal_is_free[i - 1] >> (j - 1) & 1):
            i, j = i - 1, j - 1
        elif i > 0 and (j == 0 or above_is_cheaper[i - 1] >> (j - 1) & 1):
            i -= 1
        else:
            j -= 1
        cells.append((i, j))
        edits.append(not same)
    lacking = _lacking(hypothesis, reference)
    cost = sum(edits)
    for (i, _), step in zip(cells[1:], edits, strict=True):
        cost -= step
        if cost > lacking[i] + BEAM:
            return None
    return cells


def _steps(hypothesis: str, reference: str) -> tuple[list[int], list[int]]:
    """Return two bit vectors for each word of the hypothesis, with a bit for each word of the reference.

    With D[i][j] the edit distance of the first i and j words: whether D[i][j] = D[i-1][j-1], and whether
    D[i][j] = D[i-1][j] + 1. A row is computed at once (Hyyro 2003, "A bit-vector algorithm for computing Levenshtein
    and Damerau edit distances", Figure 4), in Python's integers.
    """
    places: dict[str, int] = {}
    for place, word in enumerate(reference):
        places[word] = places.get(word, 0) | 1 << place
    full = (1 << len(reference)) - 1
    rises, falls = full, 0  # where D[i][j] is one more, or one less, than D[i][j-1]
    diagonal, above = [], []
    for word in hypothesis:
        match = places.get(word, 0)
        free = ((((match & rises) + rises) ^ rises) | match | falls) & full
        up = falls | (full & ~(free | rises))
        diagonal.append(free)
        above.append(up)
        shifted = up << 1 | 1
        rises, falls = ((free & rises) << 1 | ~(free | shifted)) & full, shifted & free
    return diagonal, above


def _lacking(hypothesis: str, reference: str) -> list[int]:
    """Count, for each i, the words of `hypothesis[:i]` beyond those that the reference has as often."""
    left, lacking = Counter(reference), [0]
    for word in hypothesis:
        left[word] -= 1
        lacking.append(lacking[-1] + (left[word] < 0))
    return lacking


def distance_between(hypothesis: str, reference: str, below: int = NEVER) -> int:
    """Count the words to insert, delete or substitute, as the beam finds them; NEVER if not less than `below`."""
    from rapidfuzz.distance import Levenshtein

    distance: int = Levenshtein.distance(hypothesis, reference)
    if BEAM < distance < below and cells_without_beam(hypothesis, reference) is None:
        distance = _costs(hypothesis, reference)[-1][-1]
    return distance if distance < below else NEVER


def _costs(hypothesis: str, reference: str) -> list[list[int]]:
    """costs[i][j]: of turning `hypothesis[:i]` into `reference[:j]`; NEVER where the beam gave up.

    Plain comparisons, since `min` makes a system take a minute.
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
