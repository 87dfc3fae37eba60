"""`dsee-bench methods` and the like: every option of conf/ with the first sentence of its file."""

import pytest

from dsee_bench import config
from dsee_bench.cli import options


@pytest.mark.parametrize(("command", "group"), options.GROUPS.items())
def test_every_option_has_a_line_that_says_what_it_is(command, group, capsys):
    assert options.main([command]) == 0
    lines = capsys.readouterr().out.splitlines()
    variants = [name for name, _ in options.variants(group)]
    assert bool(variants) == (group == "task")
    assert [line.split()[0] for line in lines] == [*config.options(group), *variants]
    assert [line for line in lines if len(line.split()) < 3] == [], "a file without a comment at its head"


def test_the_line_is_the_first_sentence_of_the_file(tmp_path, monkeypatch):
    (tmp_path / "method").mkdir()
    (tmp_path / "method" / "mine.yaml").write_text(
        "# @package _global_\n# Mine, of two\n# lines. And more.\nname: mine\n"
    )
    monkeypatch.setattr(config, "FOLDERS", [*config.FOLDERS, tmp_path])
    assert options.summary("method", "mine") == "Mine, of two lines"
