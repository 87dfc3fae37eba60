"""Words of a text as the Penn Treebank splits them, lower-cased, without punctuation.

ROUGE-L, CIDEr and METEOR of the E2E challenge are defined on the tokens of Stanford's PTBTokenizer 3.4.1 (a Java
program) less a list of marks. This is our own scanner for English after the treebank's rules; where those leave open
which abbreviations there are and which words open a sentence, the lists were found by trying that program. On the
40,782 distinct texts of E2E's training set the two differ once, on 25,214 of WebNLG 77 times (initials at the end of a
text, odd numbers); tests/metrics/nlg/test_ptb.py compares them where there is a Java.
"""

import re
from functools import lru_cache

TOKENS = "tok:ptb-no-punctuation (dsee-bench)"  # in signatures: the scorer is another's, its words are ours

# The caption scorers' list of marks. Brackets are on theirs too, but in capitals: lower-cased to -lrb- they stay.
DROPPED = frozenset({"''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"})

# One spelling for what the treebank writes in one way. £ is its # (so that £20 and #20 are equal), € its $.
SPELLINGS = str.maketrans(
    {"’": "'", "‘": "`", "“": " `` ", "”": " '' ", "«": " `` ", "»": " '' ", "‹": " ` ", "›": " ' ", '"': " '' "}
    | {"–": " -- ", "—": " -- ", "…": " ... ", "£": " # ", "€": " $ ", "¢": " cents ", "½": " 1/2 ", "¼": " 1/4 "}
    | {"(": " -LRB- ", ")": " -RRB- ", "[": " -LSB- ", "]": " -RSB- ", "{": " -LCB- ", "}": " -RCB- ", "\u00ad": "-"}
)
ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"'}

ABBREVIATIONS = (
    "mr|mrs|ms|drs?|messrs|profs?|gen|col|capt|lt|lieut|sgt|cpl|pvt|pfc|spc|maj|adm|brig|co?mdr|det|rev|hon|pres"
    "|govs?|sens?|reps?|attys?|supts?|st|ste|rd|ave|blvd|sq|bldg|mt|ft|ext|jr|sr|bros|esq|inc|ltd|cos?|corp|plc|bhd|cie"
    "|assn|assoc|asst|dept|univ|intl|natl|sys|mfg|mtg|invt|elec|vs|etc|est|al|adv|cf|tel|alex|wm|jos|treas"
    "|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|mon|tues?|wed|thu|thurs|fri"
    "|ala|ariz|calif|colo|conn|ct|dak|fla|ga|ind|kans?|ky|md|mich|minn|mo|mont|neb|nev|okla|penn|tenn|va|vt|wis|wyo"
)
CAPITAL_ABBREVIATIONS = "Az|Ark|Del|Ill|La|Mass|Miss|Ore|Pa|Tex|Wash"  # in lower case these are words
SENTENCE_OPENERS = (  # after these a letter with a period was a sentence's end, not an initial
    "A|About|According|Additionally|After|An|As|At|But|Earlier|He|Her|Here|However|If|In|It|Last|Many|More|Mr\\.|Ms\\."
    "|Now|Once|One|Other|Our|She|Since|So|Some|Such|That|The|Their|Then|There|These|They|This|We|What|When|While|Yet|You"
)

WORD = r"(?:[^\W_]|[̀-ͯ])+"
TOKEN = re.compile(
    rf"""
      https?://[^\s"'`<>]*[^\s"'`<>.,;:!?] | [\w.+-]+@[\w-]+(?:\.[\w-]+)*     # addresses
    | -[LR][RSC]B-
    | (?i:{ABBREVIATIONS})\.(?!\w) | (?:{CAPITAL_ABBREVIATIONS})\.(?!\w)      # St. John
    | [Nn]os?\.(?=\s*\d) | [Pp]p?\.(?=\s*\d)                                  # no. 5
    | (?:[A-Za-z]\.){{2,}}(?:-{WORD})*(?!\w)                                  # u.s.  u.k.-based
    | [^\W\d_]\.(?=\s+\S)(?!\s+(?:{SENTENCE_OPENERS})(?!\w|\.\w))             # J. Smith, but not at a line's end
    | (?i:can(?=not\b) | gon(?=na\b) | wan(?=na\b) | got(?=ta\b) | gim(?=me\b) | lem(?=me\b))
    | (?i:[^\W_]+?(?=n't(?![^\W_])))                                          # do n't
    | (?i:n't | '(?:s|m|d|re|ve|ll))(?![^\W_])
    | (?i:'t(?=is\b|was\b) | y'(?=all\b) | d'ye\b | '(?:em|n'?|\d0s)(?![^\W_]) | (?:ol|somethin)'(?![^\W_]))
    | [+-]?\d+(?:[.,]\d+)+(?:-\d+)? | \d+(?::\d+)+ | [.,:]\d+(?:[.,:]\d+)*    # 1,000.50 without its unit
    | (?<![\w)])[+-]\d+(?![^\W_])
    | (?:[^\W_]+-)*(?i:[dol]'|n')[^\W_]{{2,}}                                 # d'oeuvre  O'Neil
    | [^\W_]*[^\W\d_]'(?=[aeiou])(?!em\b)[^\W_]+ | [A-HJ-XZ]'[^\W_]{{2,}}        # Sana'a  C'mon
    | [A-Z]+&[A-Z]+(?![^\W_]) | [A-Za-z]\+\+
    | (?!\d){WORD}(?:[.!?][^\W\d_](?:{WORD})?)+                               # states.The
    | (?!\d){WORD}\.(?=[,;:])                                                 # the city center., next to
    | {WORD}(?:[-_/‐‑]{WORD})*(?:,{WORD}-{WORD})?                             # family-friendly  3/5  food,low-priced
    | \.{{3,}} | -{{2,}} | [!?]{{2,}} | \*+ | \#+ | __+ | @\w+ | </?\w+>
    | \S
    """,
    re.VERBOSE,
)


@lru_cache(maxsize=2**16)
def words(text: str) -> tuple[str, ...]:
    """Return the lower-cased tokens of one line, without punctuation; () for an empty line."""
    for entity, sign in ENTITIES.items():
        text = text.replace(entity, sign)
    tokens = (match.group().lower() for match in TOKEN.finditer(text.translate(SPELLINGS)))
    return tuple(token for token in tokens if token not in DROPPED and token.strip("."))


def joined(text: str) -> str:
    """Return the words of a text between spaces."""
    return " ".join(words(text))
