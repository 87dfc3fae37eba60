"""Upload an exported model to a repository on the hub, through huggingface_hub."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dsee_bench.hub import why_unreachable
from dsee_bench.system.errors import UserError

# What exports consist of, to be deleted where a new one in the same repository has no such file.
EXPORTED = ("*.safetensors", "config.json", "generation_config.json", "adapter*.json", "base/*", "model.onnx*",
            "tokenizer*")  # fmt: skip


def push(folder: Path, repo: str, files: Sequence[str], *, private: bool, revision: str | None, message: str) -> str:
    """Upload `files` of a folder to a model repository, which is created if need be; return the commit's address.

    Files of an earlier export there that are not among them are deleted (`EXPORTED`). UserError says why it cannot be.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.utils import HfHubHTTPError, HFValidationError, validate_repo_id

    try:
        validate_repo_id(repo)
        owner, name = repo.split("/")
    except (HFValidationError, ValueError) as error:
        raise UserError(
            f"{repo!r} is no name of a repository; give OWNER/NAME, of letters, digits, - _ and ."
        ) from error
    token = get_token()
    if token is None:
        raise UserError("no token for the hub; log in by `hf auth login`, or set HF_TOKEN to one that may write")
    reason = why_unreachable()
    if reason is not None:
        raise UserError(f"{reason}; pushing needs the hub, or a mirror of it by HF_ENDPOINT=URL")
    api = HfApi(token=token)
    try:
        api.create_repo(repo, private=private or None, exist_ok=True)
        if private and not api.model_info(repo).private:
            raise UserError(f"{repo} is there and public; make it private in its settings, or leave --private out")
        if revision is not None:
            api.create_branch(repo, branch=revision, exist_ok=True)
        done = api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            commit_message=message,
            revision=revision,
            allow_patterns=[*files],
            delete_patterns=[*EXPORTED],
        )
    except HfHubHTTPError as error:
        raise UserError(f"{repo} was not pushed: {_refusal(error, owner, name)}".replace(token, "***")) from None
    except OSError as error:
        raise UserError(f"{repo} was not pushed: {error}".replace(token, "***")) from None
    return done.commit_url


def _refusal(error: Any, owner: str, name: str) -> str:
    """Say in words what the hub refused."""
    match error.response.status_code:
        case 401:
            return "the hub does not know the token; log in by `hf auth login`, or set HF_TOKEN"
        case 403:
            return f"the token may not write to {owner}'s {name}; take one with write access, or another OWNER"
        case status:
            return f"the hub answers {status}: {(str(error).strip().splitlines() or [''])[-1]}"
