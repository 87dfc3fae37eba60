"""Checkpoints whose tokenizer is a .model file alone: SentencePiece's, of the families that have one, and tiktoken's.

The expected pieces and numbers are those of the packages sentencepiece and tiktoken themselves.
"""

import base64
import io
import json

import pytest
import sentencepiece
import tiktoken
from transformers import AutoConfig

from dsee_bench.models import tokenizers
from dsee_bench.tasks.toy_d2t import describe, every_context

TEXT = "a farmer sold the old mill"
PIECES = {"model_type": "bpe", "vocab_size": 340, "byte_fallback": True}
ENDS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
GEMMAS = {**PIECES, "add_dummy_prefix": False, "pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3,
          "eos_piece": "<eos>", "bos_piece": "<bos>"}  # fmt: skip
ALBERTS = {"vocab_size": 75, "pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1,
           "control_symbols": "[CLS],[SEP],[MASK]"}  # fmt: skip
CASES = [
    # model type,   its file,                 how it is trained,  tokenizer_config.json
    ("deberta-v2", "spm.model", {"vocab_size": 70}, None),
    ("xlm-roberta", "sentencepiece.bpe.model", {"vocab_size": 70}, None),
    ("camembert", "sentencepiece.bpe.model", {"vocab_size": 70}, None),
    ("albert", "spiece.model", ALBERTS, {"tokenizer_class": "AlbertTokenizer"}),
    ("llama", "tokenizer.model", PIECES, {"tokenizer_class": "LlamaTokenizer", **ENDS}),
    ("llama", "tokenizer.model", PIECES, ENDS),
    ("mistral", "tokenizer.model", PIECES, {"tokenizer_class": "LlamaTokenizer", **ENDS}),
    ("phi3", "tokenizer.model", PIECES, {"tokenizer_class": "LlamaTokenizer", **ENDS}),
    ("gemma", "tokenizer.model", GEMMAS, {"tokenizer_class": "GemmaTokenizer"}),
    ("gemma2", "tokenizer.model", GEMMAS, {"tokenizer_class": "GemmaTokenizer"}),
    ("gemma3_text", "tokenizer.model", GEMMAS, None),
]


def trained(**settings):
    """A small SentencePiece model of the toy texts."""
    texts = [text for context in every_context()[::5] for text in describe(context)]
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=written, minloglevel=2, **settings
    )
    return written.getvalue()


def folder_of(path, model_type, name, content, settings):
    config = AutoConfig.for_model(model_type, eos_token_id=1)
    config.save_pretrained(path)
    (path / name).write_bytes(content)
    if settings is not None:
        (path / "tokenizer_config.json").write_text(json.dumps(settings))
    return config


@pytest.mark.parametrize(("model_type", "name", "how", "settings"), CASES)
def test_a_text_is_split_as_sentencepiece_does(model_type, name, how, settings, tmp_path):
    content = trained(**how)
    config = folder_of(tmp_path, model_type, name, content, settings)
    own = sentencepiece.SentencePieceProcessor(model_proto=content)
    found = tokenizers.read(tmp_path, config, generates=False)
    assert found.tokenize(TEXT) == own.encode(TEXT, out_type=str)
    if name == "tokenizer.model":  # the others number their special tokens first
        assert found(TEXT, add_special_tokens=False).input_ids == own.encode(TEXT)


def test_tiktoken(tmp_path):
    """Llama 3's format; the split into words is transformers' own, so the text is one word."""
    ranks = {bytes([byte]): byte for byte in range(256)} | {b"th": 256, b"the": 257, b"er": 258, b"ther": 259}
    lines = "".join(f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in ranks.items())
    config = folder_of(tmp_path, "llama", "tokenizer.model", lines.encode(), {"eos_token": "<|end|>"})
    found = tokenizers.read(tmp_path, config, generates=False)
    own = tiktoken.Encoding("small", pat_str=r"\w+", mergeable_ranks=ranks, special_tokens={})
    assert found("weather").input_ids == own.encode("weather") != list(b"weather")


def test_what_tiktoken_needs_is_named(tmp_path, monkeypatch):
    config = folder_of(tmp_path, "llama", "tokenizer.model", b"dGhl 0\n", None)
    monkeypatch.setattr("dsee_bench.system.extras._is_there", lambda name: name != "tiktoken")
    with pytest.raises(ValueError, match=r"needs tiktoken, not installed here; pip install 'dsee-bench\[tokenizers\]'"):
        tokenizers.read(tmp_path, config, generates=False)


def test_a_tokenizer_that_splits_otherwise_is_refused(tmp_path, monkeypatch):
    config = folder_of(tmp_path, "llama", "tokenizer.model", trained(**PIECES), ENDS)
    monkeypatch.setattr("transformers.LlamaTokenizer.tokenize", lambda self, text: text.split())
    with pytest.raises(
        ValueError, match=r"into \['the', 'old', 'mill'\], and tokenizer.model into .*tokenizer.json of"
    ):
        tokenizers.read(tmp_path, config, generates=False)


def test_a_damaged_model_file(tmp_path):
    config = folder_of(tmp_path, "llama", "tokenizer.model", b"no model", ENDS)
    with pytest.raises(ValueError, match="has no tokenizer that can be read"):
        tokenizers.read(tmp_path, config, generates=False)
