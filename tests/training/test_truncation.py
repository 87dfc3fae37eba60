"""Which tokens of a long text stay, against lists by hand for tokenizers like BERT's, RoBERTa's and GPT-2's."""

import random
import string

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from dsee_bench import plan
from dsee_bench.config import ConfigError
from dsee_bench.runs import sweep
from dsee_bench.tasks.example import Example, split_of
from dsee_bench.training.batch import encode, encode_split
from dsee_bench.training.truncation import encode_cut, kept

TEMPLATES = {
    "bert": ("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1"),
    "roberta": ("[CLS] $A [SEP]", "[CLS] $A [SEP] [SEP] $B [SEP]"),  # its <s> and </s>
    "gpt2": None,
}
INPUTS = ["input_ids", "token_type_ids", "attention_mask"]


def made(like):
    """A tokenizer whose tokens are single letters; special tokens are written [ and ]."""
    letters = {letter: place for place, letter in enumerate(["[PAD]", "[CLS]", "[SEP]", *string.ascii_letters])}
    tokenizer = Tokenizer(models.WordLevel(letters, unk_token="[PAD]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if TEMPLATES[like] is not None:
        single, pair = TEMPLATES[like]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=single, pair=pair, special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", model_input_names=INPUTS)


def spelled(tokenizer, ids):
    tokens = tokenizer.convert_ids_to_tokens(ids)
    return "".join({"[CLS]": "<", "[SEP]": ">"}.get(token, token) for token in tokens)


LETTERS = " ".join(string.ascii_lowercase[:10])  # a to j
CAPITALS = " ".join(string.ascii_uppercase[:4])
CASES = [
    # tokenizer, texts, length, truncate, tokens, why
    ("bert", (LETTERS,), 10, "head", "<abcdefgh>", "8 of 10"),
    ("bert", (LETTERS,), 10, "tail", "<cdefghij>", "8 of 10"),
    ("bert", (LETTERS,), 10, "head_tail", "<abefghij>", "2 and 6 of 8"),
    ("bert", (LETTERS,), 9, "head_tail", "<abfghij>", "a quarter of 7, rounded up: 2 and 5"),
    ("bert", (LETTERS,), 12, "tail", "<abcdefghij>", "nothing to cut"),
    ("bert", (LETTERS,), 3, "head_tail", "<a>", "one token: the first"),
    ("roberta", (LETTERS,), 6, "tail", "<ghij>", "singles are as BERT's"),
    ("gpt2", (LETTERS,), 4, "head_tail", "ahij", "no special token"),
    ("gpt2", (LETTERS,), 4, "tail", "ghij", "no special token"),
    ("bert", (LETTERS, CAPITALS), 11, "head", "<abcd>ABCD>", "8 tokens: the longer is cut to 4"),
    ("bert", (LETTERS, CAPITALS), 11, "tail", "<ghij>ABCD>", "the longer one is cut alone"),
    ("bert", (LETTERS, CAPITALS), 9, "tail", "<hij>BCD>", "both are cut: 3 and 3"),
    ("bert", (LETTERS, CAPITALS), 11, "head_tail", "<ahij>ABCD>", "1 and 3 of 4"),
    ("bert", (CAPITALS, LETTERS), 11, "head_tail", "<ABCD>ahij>", "the other way round"),
    ("bert", (LETTERS, CAPITALS), 10, "head", "<abcd>ABC>", "7 tokens: the odd one goes to the longer text"),
    ("roberta", (LETTERS, CAPITALS), 12, "tail", "<ghij>>ABCD>", "four special tokens"),
    ("roberta", (LETTERS, CAPITALS), 12, "head_tail", "<ahij>>ABCD>", "four special tokens"),
    ("gpt2", (LETTERS, CAPITALS), 8, "tail", "ghijABCD", "no special token"),
    ("bert", (LETTERS, ""), 7, "tail", "<ghij>>", "one of a pair may be empty"),
]


@pytest.mark.parametrize(("like", "texts", "length", "truncate", "tokens", "why"), CASES)
def test_by_hand(like, texts, length, truncate, tokens, why):
    tokenizer = made(like)
    rows = encode([Example(texts, 1)], tokenizer, length, truncate)
    (row,) = rows
    assert spelled(tokenizer, row["input_ids"]) == tokens, why
    assert row["attention_mask"] == [1] * len(tokens)
    assert row["labels"] == 1
    assert rows.cut == int(len(tokenizer(*texts)["input_ids"]) > length)


def test_token_types_go_with_the_tokens():
    (row,) = encode([Example((LETTERS, CAPITALS), 0)], made("bert"), 11, "head_tail")
    assert row["token_type_ids"] == [0] * 6 + [1] * 5


@pytest.mark.parametrize("like", TEMPLATES)
@pytest.mark.parametrize("pairs", [False, True])
def test_head_and_tail_are_what_transformers_cuts_on_either_side(like, pairs):
    generator, tokenizer = random.Random(0), made(like)
    first, second = (
        [" ".join(generator.choices(string.ascii_letters, k=generator.randrange(1, 12))) for _ in range(40)]
        for _ in range(2)
    )
    texts = (first, second) if pairs else (first,)
    for side, truncate in (("right", "head"), ("left", "tail")):
        tokenizer.truncation_side = side
        for length in range(6, 20):
            theirs = tokenizer(*texts, truncation=True, max_length=length)
            ours, cut = encode_cut(first, second if pairs else None, tokenizer, length, truncate)
            assert ours["input_ids"] == theirs["input_ids"]
            assert ours["token_type_ids"] == theirs["token_type_ids"]
            assert cut == [bool(encoding.overflowing) for encoding in theirs.encodings]


def test_sun_et_al_keep_128_and_382_of_510():
    places = kept([None, *[0] * 600, None], 512, "head_tail")
    assert places == [*range(129), *range(601 - 382, 602)]


def test_no_room_is_named():
    with pytest.raises(ValueError, match="max_length=2 leaves no room beside 2 special tokens; give at least 3"):
        encode([Example((LETTERS,), 1)], made("bert"), 2, "tail")


def test_a_split_keeps_the_rows_of_each_way_apart():
    split, tokenizer = split_of("dev", [Example((LETTERS,), 1)]), made("bert")
    found = [encode_split(split, tokenizer, 6, None, way)[0]["input_ids"] for way in (None, "head", "tail")]
    assert found[0] == found[1] != found[2]


def test_a_task_states_it():
    settings = plan.read(sweep.resolved(["task=rte", "task.truncate=head_tail"]))
    assert settings.task.truncate == "head_tail"
    assert settings.run_id != plan.read(sweep.resolved(["task=rte"])).run_id
    with pytest.raises(ConfigError, match=r"task\.truncate"):
        plan.read(sweep.resolved(["task=rte", "task.truncate=middle"]))
