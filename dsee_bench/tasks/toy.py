"""Two small tasks made in code from a seed, for demos and tests; nothing to download.

sentences  Does somebody find a thing good or bad? Three in ten rows turn it round by a word that stands away from the
           adjective ("never found the film dull"), so the adjective alone is right for 70 %.
pairs      Does the first text entail the second? Of those that are not entailed, four in ten are denied ("was never
           bought"); in the others one word was exchanged for another of its kind. The denial alone is right for 70 %;
           for the rest the texts must be compared, each word being as frequent in both classes. All rows are equally
           long: batches of like length would otherwise hold one class each.

All words are single tokens of BERT's uncased vocabulary. Both classes are equally frequent, and no text of dev
stands in train.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from dsee_bench.config.limits import Limits, Seed
from dsee_bench.tasks.example import Example, Split, split_of
from dsee_bench.tasks.labelled import check_task

Make = Callable[[int, random.Random], tuple[str, ...]]  # (label, generator) -> texts

OPENINGS = ("last night", "this morning", "on monday", "after dinner", "in the end", "at the station", "in this city")
SPEAKERS = ("my brother", "our teacher", "the doctor", "her father", "a student", "the writer", "his friend")
JUDGED = ("found", "called", "considered", "thought")
KINDS = ("old", "new", "long", "short", "first", "second")
THINGS = ("film", "book", "play", "song", "story", "concert", "meal", "game", "speech", "letter")
GOOD = ("great", "lovely", "brilliant", "beautiful", "wonderful", "perfect", "funny", "clever", "excellent", "charming")
BAD = ("terrible", "boring", "awful", "poor", "horrible", "stupid", "weak", "dull", "bad", "ugly")
TURNED = ("never", "hardly", "rarely")
ENDINGS = ("and then went home", "when we talked about it", "before the rain came", "and nobody answered")
TURNED_SHARE = 0.3  # of all sentences

SLOTS: Mapping[str, tuple[str, ...]] = {
    "who": ("teacher", "doctor", "farmer", "soldier", "singer", "lawyer", "student", "driver"),
    "did": ("bought", "sold", "found", "lost", "painted", "repaired", "cleaned", "moved"),
    "colour": ("red", "blue", "green", "white", "black", "yellow"),
    "what": ("car", "boat", "chair", "door", "table", "bag", "clock", "piano"),
    "day": ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),
}
EXCHANGED = ("who", "colour", "what", "day")
AFFIRMED = ("once", "then", "soon", "also")  # stand where a denial would, so that both classes are equally long
DENIED = "never"
DENIED_SHARE = 0.4  # of the pairs that are not entailed


def sentence(label: int, generator: random.Random) -> tuple[str, ...]:
    """Return one text of 12 to 15 words; label 1 is positive."""
    pick = generator.choice
    turned = generator.random() < TURNED_SHARE
    quality = pick(GOOD if (label == 1) != turned else BAD)
    judged = f"{pick(TURNED)} {pick(JUDGED)}" if turned else pick(JUDGED)
    return (f"{pick(OPENINGS)} {pick(SPEAKERS)} {judged} the {pick(KINDS)} {pick(THINGS)} {quality} {pick(ENDINGS)} .",)


def pair(label: int, generator: random.Random) -> tuple[str, ...]:
    """Return two texts of 9 and 12 words; label 0 is entailment, as in RTE."""
    first = {slot: generator.choice(words) for slot, words in SLOTS.items()}
    second = dict(first)
    denied = label == 1 and generator.random() < DENIED_SHARE
    second["how"] = DENIED if denied else generator.choice(AFFIRMED)
    if label == 1 and not denied:
        slot = generator.choice(EXCHANGED)
        second[slot] = generator.choice([word for word in SLOTS[slot] if word != first[slot]])
    return (
        "on {day} the {who} {did} a {colour} {what} .".format(**first),
        "the {colour} {what} was {how} {did} by the {who} on {day} .".format(**second),
    )


FORMS: Mapping[str, Make] = {"sentences": sentence, "pairs": pair}


@dataclass(frozen=True)
class Toy:
    """A task made in code; see conf/task/toy_sentences.yaml."""

    name: str
    kind: Literal["classification"]
    labels: tuple[str, str]
    metrics: tuple[str, ...]
    rows: Mapping[str, Annotated[int, Limits(ge=2, hint="one of each class")]]  # split -> examples to make
    form: Literal["sentences", "pairs"]
    seed: Seed  # of the rows; the run's seed leaves them as they are

    def __post_init__(self) -> None:
        check_task(kind=self.kind, labels=self.labels, metric_names=self.metrics, splits=self.rows)

    @property
    def text_columns(self) -> tuple[str, ...]:
        return ()

    def hub_files(self, data_dir: Path | None) -> None:
        """Return None: the rows are made here."""

    def load(self, data_dir: Path | None, seed: int) -> dict[str, Split[Example]]:
        """Return every split; neither `data_dir` nor the run's `seed` changes a row."""
        generator = random.Random(self.seed)
        made: set[str] = set()  # first texts of all splits
        splits = {}
        for split, count in self.rows.items():
            examples = [self._example(position % 2, generator, made) for position in range(count)]
            generator.shuffle(examples)
            splits[split] = split_of(split, examples)
        return splits

    def _example(self, label: int, generator: random.Random, made: set[str]) -> Example:
        for _ in range(1000):
            texts = FORMS[self.form](label, generator)
            if texts[0] not in made:
                made.add(texts[0])
                return Example(texts, label)
        raise ValueError(
            f"{self.name} cannot make {sum(self.rows.values())} different rows; ask for fewer by task.rows"
        )
