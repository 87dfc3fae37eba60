"""Keys and passwords are starred in all that is printed and written: one filter for terminal, log, record and wandb.

Known are the variables of the environment whose names say what they hold (HF_TOKEN, WANDB_API_KEY), user and password
in any URL (HF_ENDPOINT, proxies), and, of the words of the command, the values of keys with such names. What a setting
takes from the environment by ${oc.env:NAME} is written as that text.
"""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

STARS = "***"
SHORTEST = 6  # letters of a secret; shorter ones would star what only looks like them
_NAME = r"(?:token|key|secret|password|passwd|pass|credentials?)"
_SECRET_NAME = re.compile(rf"(?:^|[_.\-+]){_NAME}$|api_?{_NAME}$", re.IGNORECASE)
_INSIDE = re.compile(rf"(?i)\b(\w*_)?{_NAME}\s*[:=]\s*[\"']?([^\s\"',}}\]]+)")  # `{token: abc}` in a value
_URL = re.compile(r"(?<=://)(?:[^/\s'\":]+:[^/\s'\"]*|[^/\s@:'\"]{8,})(?=@)")
_ENVIRONMENT = re.compile(r"\$\{oc\.env:\s*([A-Za-z_]\w*)[^}]*\}")
PATHS = ("data_dir", "results_dir", "export")  # are in no record, and are told where files lie
_WORDS: dict[str, str] = {}  # what the words of this process's command hold -> what is written in its place


def learn(words: Sequence[str]) -> None:
    """Remember the secrets in the words of a command, before anything is said of them."""
    for word in words:
        key, _, value = word.partition("=")
        found = [value, *re.split(r"[\s,\[\]{}:'\"]+", value)] if _SECRET_NAME.search(key) else []
        found += [match[2] for match in _INSIDE.finditer(value)]
        _WORDS.update({text.strip("'\""): STARS for text in found if "${" not in text})
        if key.lstrip("+") not in PATHS:
            names = _ENVIRONMENT.findall(value)
            _WORDS.update({os.environ[name]: f"${{oc.env:{name}}}" for name in names if name in os.environ})


def starred(text: str) -> str:
    """The text without secrets."""
    return _starred(text, _longest_first())


def starred_all(content: Any) -> Any:
    """Plain content with every text in it, keys too, without secrets."""
    secrets = _longest_first()  # once: a record has thousands of texts

    def star(part: Any) -> Any:
        if isinstance(part, str):
            return _starred(part, secrets)
        if isinstance(part, Mapping):
            return {star(key): star(value) for key, value in part.items()}
        if isinstance(part, list | tuple):
            return [star(value) for value in part]
        return part

    return star(content)


def _starred(text: str, secrets: Sequence[tuple[str, str]]) -> str:
    for secret, instead in secrets:
        text = text.replace(secret, instead)
    return _URL.sub(STARS, text) if "://" in text else text


def _longest_first() -> list[tuple[str, str]]:
    return sorted(_known().items(), key=lambda pair: -len(pair[0]))


def _known() -> dict[str, str]:
    """Each secret that this process can know of, and what is written in its place."""
    found = dict(_WORDS)
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name):
            found[value] = STARS
        if "@" in value:
            for login in _URL.findall(value if "://" in value else f"http://{value}"):  # a proxy needs no scheme
                password = login.partition(":")[2] or login
                found |= {password: STARS, unquote(password): STARS}
    return {secret: instead for secret, instead in found.items() if len(secret) >= SHORTEST}
