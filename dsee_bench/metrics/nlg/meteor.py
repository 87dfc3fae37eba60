"""WebNLG's and DART's METEOR 1.5: the Java program, where there is a Java."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from dsee_bench.metrics import Measured, References, Texts, metric

LIMIT = 600  # seconds; 2,000 predictions take less than a minute


@metric("METEOR-1.5", "-l en -norm", kind="generation", unit="0-1", package="pycocoevalcap")
def meteor(predictions: Texts, references: References) -> Measured:
    """METEOR 1.5 (Denkowski and Lavie 2014), its own normalisation on: the score over all texts, not a mean."""
    java = find_java()
    if java is None:
        return Measured(None, "METEOR 1.5 is a Java program, and no java is on the PATH or in JAVA_HOME")
    jar = files("pycocoevalcap").joinpath("meteor/meteor-1.5.jar")
    if not jar.is_file():
        return Measured(None, "pycocoevalcap holds no meteor/meteor-1.5.jar; install it again")
    width = max(map(len, references))
    with tempfile.TemporaryDirectory() as folder:
        prediction_file, reference_file = Path(folder, "predictions.txt"), Path(folder, "references.txt")
        _write(prediction_file, predictions)
        _write(reference_file, [text for group in references for text in [*group, *[""] * (width - len(group))]])
        command = [java, "-Xmx2G", "-Dfile.encoding=UTF-8", "-jar", str(jar), str(prediction_file), str(reference_file)]
        try:
            process = subprocess.run(
                [*command, "-l", "en", "-norm", "-r", str(width)], capture_output=True, text=True, timeout=LIMIT
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return Measured(None, f"METEOR's program did not finish: {error}")
    final = re.search(r"^Final score:\s+([0-9.]+)", process.stdout, re.MULTILINE)
    if process.returncode != 0 or final is None:
        last_line = (process.stderr or process.stdout).strip().splitlines()[-1:] or ["it said nothing"]
        return Measured(None, f"METEOR's program failed with exit code {process.returncode}: {last_line[0]}")
    return Measured(float(final[1]))


def find_java() -> str | None:
    """Return the java to run: JAVA_HOME's, else the one on the PATH."""
    home = os.environ.get("JAVA_HOME")
    return (shutil.which("java", path=str(Path(home, "bin"))) if home else None) or shutil.which("java")


def _write(path: Path, lines: Sequence[str]) -> None:
    """Write one text a line; a line break inside a text becomes a space."""
    path.write_text("".join(" ".join(line.split()) + "\n" for line in lines), encoding="utf-8", newline="\n")
