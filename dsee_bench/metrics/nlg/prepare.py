"""How the WebNLG challenge and DART's authors prepare texts before scoring: words and marks apart, lower-case.

The challenge also turned letters into ASCII, in the references and in what was handed in; DART's authors did not. Both
kept the first three references of an entry. tests/metrics/nlg/test_prepare.py finds every line of their published
reference files again.
"""

import re
import unicodedata

REFERENCES = 3  # of an entry, the first ones

# Letters and marks that Unicode does not take apart into an ASCII one and an accent.
ASCII = str.maketrans(
    {"ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ł": "l", "Ł": "L", "ı": "i", "ħ": "h", "Ħ": "H", "ŧ": "t", "Ŧ": "T"}
    | {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "þ": "th", "Þ": "Th", "ð": "d", "Ð": "D", "ə": "@"}
    | {"–": "-", "—": "--", "‐": "-", "‑": "-", "−": "-", "‒": "-", "’": "'", "‘": "'", "ʻ": "'", "ʼ": "'", "′": "'"}
    | {"“": '"', "”": '"', "„": ",,", "″": '"', "«": "<<", "»": ">>", "×": "x", "°": "deg", "€": "EUR", "£": "PS"}
)


def fold(text: str) -> str:
    """Return `text` in ASCII where that is known; a letter of another script stays."""
    letters = unicodedata.normalize("NFKD", text.translate(ASCII))
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).translate(ASCII)


def spaced(text: str) -> str:
    """Return `text` in lower case; each mark but accents and underscores is a word of its own."""
    return " ".join(re.sub(r"([^\w\u0300-\u036f])", r" \1 ", text.lower()).split())
