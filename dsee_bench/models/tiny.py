"""A small tokenizer for the random models that generate: byte-level BPE, trained here on the toy tasks' texts.

The packaged English vocabulary (WordPiece) puts no spaces back and lower-cases, so what it decodes is not what was
encoded. Byte-level BPE gives back every text exactly, and a vocabulary of its own size keeps a random model small
enough to learn the toy task. Training is deterministic and takes a tenth of a second.
"""

import random
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

VOCABULARY = 640  # 256 bytes, the end of text, and merges
END = "<|endoftext|>"


@cache
def _trained() -> str:
    """The tokenizer as JSON."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    return str(tokenizer.to_str())


def _texts() -> list[str]:
    from dsee_bench.tasks.toy import pair, sentence
    from dsee_bench.tasks.toy_d2t import describe, every_context

    contexts = every_context()
    texts = [text for context in contexts for text in describe(context)]
    generator = random.Random(0)
    texts += [text for row in range(1000) for make in (sentence, pair) for text in make(row % 2, generator)]
    return texts + [" | ".join(f"{slot} : {value}" for slot, value in context.items()) for context in contexts]


def tiny_tokenizer() -> "PreTrainedTokenizerBase":
    """Return a new tokenizer; it ends texts and pads with one token, as GPT-2's is used."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_trained()), eos_token=END, bos_token=END, pad_token=END
    )
