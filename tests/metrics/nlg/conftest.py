"""The published outputs and references that the official scores are of."""

from pathlib import Path

import pytest

from dsee_bench.metrics.nlg.corpus import Corpus, corpus_of
from dsee_bench.tasks.e2e import read_release
from dsee_bench.tasks.hypotheses import read_hypotheses, read_texts

WEBNLG_REFERENCES = [f"metrics/webnlg2017/references/gold-all-cat-reference{number}.lex" for number in range(3)]


@pytest.fixture(scope="session")
def e2e_system(real_data: Path):
    """A system's outputs beside the E2E test set's references."""
    examples = read_release([real_data / "e2e/testset_w_refs.csv"], "test")

    def corpus(system: str) -> Corpus:
        texts = read_hypotheses(real_data / f"metrics/e2e/{system}.tsv").texts
        return corpus_of(texts, [example.references for example in examples], columns=45, source="test")

    return corpus


@pytest.fixture(scope="session")
def webnlg_system(real_data: Path):
    """A team's outputs beside the challenge's own reference files."""
    columns = [read_texts(real_data / name) for name in WEBNLG_REFERENCES]

    def corpus(path: str) -> Corpus:
        return corpus_of(read_texts(real_data / path), zip(*columns, strict=True), columns=3, source="test")

    return corpus
