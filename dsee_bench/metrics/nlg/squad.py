"""What SQuAD's scorer compares (Rajpurkar et al. 2016): lower case, no punctuation, no articles, single spaces."""

import re
import string
from collections import Counter

PREPARED = "as:squad-v1.1"


def normalised(text: str) -> str:
    """Return `text` as it is compared: "The  U.S. Army!" becomes "us army"."""
    plain = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", plain).split())


def f1_of(prediction: str, reference: str) -> float:
    """Return the F1 of the words that two texts share, counted as often as both have them; 0 if they share none."""
    predicted, wanted = normalised(prediction).split(), normalised(reference).split()
    shared = (Counter(predicted) & Counter(wanted)).total()
    return 2 * shared / (len(predicted) + len(wanted)) if shared else 0.0
