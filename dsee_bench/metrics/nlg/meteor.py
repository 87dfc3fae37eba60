"""METEOR 1.5, the Java program, where there is a Java; and nltk's METEOR, another number, under its own name."""

import os
import re
import shutil
import subprocess
import tempfile
from importlib.resources import files
from pathlib import Path

from dsee_bench.metrics.nlg.corpus import Corpus, Measured, mean_of, signed
from dsee_bench.metrics.nlg.ptb import TOKENS, words

LIMIT = 600  # seconds; 2,000 outputs take less than a minute


def meteor(corpus: Corpus) -> Measured:
    """METEOR 1.5 (Denkowski and Lavie 2014) of the texts as they are, its own normalisation on; 0 to 1."""
    signature = signed(corpus, "METEOR-1.5", "-l en -norm", package="pycocoevalcap")
    return _run(corpus.outputs, corpus.references, signature)


def meteor_ptb(corpus: Corpus) -> Measured:
    """METEOR 1.5 of the treebank's words, as the E2E challenge computes it; 0 to 1."""
    signature = signed(corpus, "METEOR-1.5", "-l en -norm", TOKENS, package="pycocoevalcap")
    outputs = tuple(" ".join(words(text)) for text in corpus.outputs)
    return _run(
        outputs, tuple(tuple(" ".join(words(text)) for text in group) for group in corpus.references), signature
    )


def _run(outputs: tuple[str, ...], references: tuple[tuple[str, ...], ...], signature: str) -> Measured:
    """The program's final score over the corpus, which is not the mean of its segments."""
    java = find_java()
    if java is None:
        return Measured(None, signature, "METEOR 1.5 is a Java program, and no java is on the PATH or in JAVA_HOME")
    jar = files("pycocoevalcap").joinpath("meteor/meteor-1.5.jar")
    if not jar.is_file():
        return Measured(None, signature, "pycocoevalcap holds no meteor/meteor-1.5.jar; install it again")
    width = max(map(len, references))
    with tempfile.TemporaryDirectory() as folder:
        hypothesis_file, reference_file = Path(folder, "outputs.txt"), Path(folder, "references.txt")
        _write(hypothesis_file, outputs)
        _write(reference_file, [text for group in references for text in group + ("",) * (width - len(group))])
        command = [java, "-Xmx2G", "-Dfile.encoding=UTF-8", "-jar", str(jar), str(hypothesis_file), str(reference_file)]
        try:
            done = subprocess.run(
                [*command, "-l", "en", "-norm", "-r", str(width)], capture_output=True, text=True, timeout=LIMIT
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return Measured(None, signature, f"METEOR's program did not finish: {error}")
    final = re.search(r"^Final score:\s+([0-9.]+)", done.stdout, re.MULTILINE)
    if done.returncode != 0 or final is None:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it said nothing"]
        return Measured(None, signature, f"METEOR's program failed with exit code {done.returncode}: {said[0]}")
    return Measured(float(final[1]), signature)


def find_java() -> str | None:
    """The java to run: JAVA_HOME's, else the one on the PATH."""
    home = os.environ.get("JAVA_HOME")
    return (shutil.which("java", path=str(Path(home, "bin"))) if home else None) or shutil.which("java")


def _write(path: Path, lines: list[str] | tuple[str, ...]) -> None:
    """One text a line; a line break inside a text becomes a space."""
    path.write_text("".join(" ".join(line.split()) + "\n" for line in lines), encoding="utf-8", newline="\n")


def meteor_nltk(corpus: Corpus) -> Measured:
    """nltk's METEOR, mean of the outputs; 0 to 1. It has no paraphrases and other weights than METEOR 1.5."""
    from nltk.corpus import wordnet
    from nltk.translate.meteor_score import meteor_score

    signature = signed(corpus, "METEOR-nltk", TOKENS, "case:lower", package="nltk")
    try:
        wordnet.ensure_loaded()
    except LookupError:
        reason = "nltk's METEOR needs the WordNet data, which is not installed: python -m nltk.downloader wordnet"
        return Measured(None, signature, reason)
    each = [
        meteor_score([list(words(text)) for text in group], list(words(output)))
        for output, group in zip(corpus.outputs, corpus.references, strict=True)
    ]
    return Measured(sum(each) / len(corpus), signature, parts=mean_of(each))
