"""Language models as ONNX files: the cache goes in and out, and texts are those that transformers' generate writes."""

import pytest
import torch
from transformers import AutoTokenizer, GenerationConfig

import dsee_bench
from dsee_bench import plan, record
from dsee_bench.cli.bench import run
from dsee_bench.deploy.onnx_decoder import Decoder, Inputs, WithCache, inputs_of, pairs, traced
from dsee_bench.deploy.onnx_file import ONNX_FILE, QUANTIZED_FILE, write_onnx
from dsee_bench.runs import sweep

FAMILIES = ["gpt2", "gpt-neo", "gpt-neox", "opt", "llama", "qwen2", "qwen3", "gemma3", "phi", "phi3"]
PROMPTS = torch.tensor([[0, 0, 0, 7, 12, 9], [3, 15, 4, 22, 8, 31]])
MASK = torch.tensor([[0, 0, 0, 1, 1, 1], [1, 1, 1, 1, 1, 1]])  # the first prompt is padded on the left


def tiny(family):
    """An untrained language model whose next tokens are far apart, and its tokenizer."""
    torch.manual_seed(0)
    made = plan.read(sweep.resolved([f"backbone=tiny-{family}", "task=toy_d2t"])).backbone.load_lm()
    for parameter in made.model.parameters():
        parameter.data.normal_(std=0.3)
    return made.model.eval(), made.tokenizer


def in_torch(model):
    """The model as the runtime of a Decoder: what a file of it would answer."""
    inner, arguments = WithCache(model), traced(model)
    names = arguments["input_names"]
    sizes = [(part.shape[1], part.shape[3]) for pair in arguments["kwargs"]["past"] for part in pair]
    inputs = Inputs(tuple(names), dict(zip(names[2:], sizes, strict=True)))

    def answer(given):
        tensors = {name: torch.from_numpy(value) for name, value in given.items()}
        flat = [tensors[name] for name in inputs.past]
        with torch.no_grad():
            logits, present = inner(
                tensors["input_ids"], tensors["attention_mask"], list(zip(flat[::2], flat[1::2], strict=True))
            )
        return [part.numpy() for part in (logits, *(part for pair in present for part in pair))]

    return Decoder(model.config, answer, inputs)


def written(model, beams):
    """Texts without a token twice: an untrained model would repeat one for ever."""
    ends = {"do_sample": False, "pad_token_id": 0, "eos_token_id": 1}
    settings = GenerationConfig(num_beams=beams, max_new_tokens=14, no_repeat_ngram_size=1, **ends)
    with torch.inference_mode():
        return model.generate(PROMPTS, attention_mask=MASK, generation_config=settings).tolist()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_decoder_writes_what_its_model_writes(family):
    model, _ = tiny(family)
    decoder = in_torch(model)
    for beams in (1, 3):
        expected = written(model, beams)
        assert written(decoder, beams) == expected
        assert len({tuple(row[6:]) for row in expected}) == 2, "the two prompts have texts of their own"


def test_a_forward_pass_without_cache_or_mask_is_the_models():
    model, _ = tiny("gpt2")
    with torch.no_grad():
        expected = model(PROMPTS).logits
    torch.testing.assert_close(in_torch(model)(PROMPTS).logits, expected, rtol=0, atol=1e-5)


@pytest.mark.slow  # the exporter
@pytest.mark.parametrize("family", FAMILIES)
def test_onnxruntime_continues_from_the_cache_as_torch_does(family, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="pip install 'dsee-bench[dev]'")
    model, tokenizer = tiny(family)
    write_onnx(model, tokenizer, tmp_path / ONNX_FILE)
    session = onnxruntime.InferenceSession(tmp_path / ONNX_FILE, providers=["CPUExecutionProvider"])
    decoder = Decoder(model.config, lambda given: session.run(None, given), inputs_of(tmp_path / ONNX_FILE))
    with torch.no_grad():
        # OPT counts positions itself.
        positions = None if family == "opt" else (MASK.cumsum(-1) - 1).clamp(min=0)
        expected = model(PROMPTS, attention_mask=MASK, position_ids=positions)
        found = decoder(PROMPTS, attention_mask=MASK)
        torch.testing.assert_close(found.logits[MASK == 1], expected.logits[MASK == 1], rtol=0, atol=2e-4)
        grown = torch.cat([MASK, torch.ones(2, 1, dtype=torch.long)], 1)
        more = {"past_key_values": expected.past_key_values, "attention_mask": grown}
        expected = model(PROMPTS[:, :1], position_ids=positions if positions is None else positions[:, -1:] + 1, **more)
        found = decoder(PROMPTS[:, :1], past_key_values=found.past_key_values, attention_mask=grown)
    torch.testing.assert_close(found.logits, expected.logits, rtol=0, atol=2e-4)
    assert {part.shape[2] for pair in pairs(found.past_key_values) for part in pair} == {7}, "six tokens and a new one"
    assert written(decoder, 3) == written(model, 3)


@pytest.mark.slow  # the exporter
def test_a_run_writes_texts_on_every_engine_and_exports_what_it_measured(tmp_path):
    """Float32 engines score as torch does; an 8-bit one has a score of its own. The file is as narrow as the model."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("openvino")
    folder = tmp_path / "out"
    words = [
        *("task=toy_d2t", "backbone=tiny-gpt2", "train=demo_nlg", "method=dsee_structured", "train.max_rows=64"),
        *("train.epochs=1", "train.retune_epochs=1", "task.decode.contexts=4", "task.decode.new_tokens=8"),
        *("measure=true", "measure_seconds=1", f"results_dir={tmp_path}", f"export={folder}"),
        "measure_engines=[torch,onnxruntime,openvino,onnxruntime_int8,openvino_int8]",
        *("export_onnx=true", "export_quantize=int8"),
    ]
    assert run(sweep.resolved(words), words) == 0
    (found,) = record.read_all(tmp_path)
    by_engine = {one.engine: one for one in found.engines}
    assert {(one.reason, one.unscored) for one in by_engine.values()} == {(None, None)}
    scores = {name: {score.name: score.value for score in one.scores} for name, one in by_engine.items()}
    assert scores["onnxruntime"] == scores["openvino"] == scores["torch"]
    assert scores["torch"] == {score.name: score.value for score in found.scores}
    assert scores["onnxruntime_int8"].keys() == scores["openvino_int8"].keys() == scores["torch"].keys()
    model, tokenizer = dsee_bench.load(folder), AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("name : the mill | type : pub", return_tensors="pt")["input_ids"]
    for file, tolerance in ((ONNX_FILE, 1e-5), (QUANTIZED_FILE, 0.05)):
        session = onnxruntime.InferenceSession(folder / file, providers=["CPUExecutionProvider"])
        decoder = Decoder(model.config, lambda given, one=session: one.run(None, given), inputs_of(folder / file))
        with torch.no_grad():
            found, expected = decoder(ids).logits, model(ids).logits
        assert (found - expected).norm() / expected.norm() < tolerance, file
    heads = {shape[0] for shape in inputs_of(folder / ONNX_FILE).past.values()}
    assert max(heads) < model.config.n_head, "each layer has lost a head"
