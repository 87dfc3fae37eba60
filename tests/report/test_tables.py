"""Tables from made-up records: what is averaged, what gets a row of its own, what is refused."""

import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from dsee_bench.config import CONF
from dsee_bench.record import Cost, Retained, Score, StageLog, read_all
from dsee_bench.report import render
from dsee_bench.report.costs import cost_text
from dsee_bench.report.results import flatten, frame
from dsee_bench.report.spec import (
    Average,
    CostColumn,
    MethodSpec,
    Published,
    ScoreColumn,
    TableSpec,
    read_spec,
    spec_paths,
)
from dsee_bench.report.tables import build, by_selection

SPEC = TableSpec(
    title="Made up",
    split="dev",
    digits=1,
    other_methods=True,
    columns=(ScoreColumn("rte", "accuracy", "RTE"), ScoreColumn("sst2", "accuracy", "SST-2")),
    rows=(MethodSpec("lora", "LoRA"),),
    costs=(CostColumn("trainable_parameters", "Trainable", "count"), CostColumn("flops_saved", "Saved", "percent")),
)
VALUES = (0.61, 0.64, 0.70)
PLAIN = render.Style(str, "{}", "{}")


def grid(runs, spec=SPEC):
    """The shown table as a list of dicts."""
    return render.grid(build(frame(runs), spec, "made-up"), PLAIN).to_dict("records")


def test_a_cell_is_mean_and_sample_deviation_over_seeds(make):
    (row,) = grid([make(seed=seed, value=value) for seed, value in enumerate(VALUES)])
    percent = 100 * np.array(VALUES)  # the origin of the numbers: numpy
    assert row["RTE"] == f"{percent.mean():.1f} ± {percent.std(ddof=1):.1f} (3)"


def test_one_seed_has_no_deviation_and_what_was_not_run_is_a_dash(make):
    rows = grid([make("rte", value=0.6), make("sst2", "lora", value=0.9)])
    assert [(row["Method"], row["RTE"], row["SST-2"]) for row in rows] == [
        ("LoRA", "–", "90.0 (1)"),  # listed methods first
        ("dsee", "60.0 (1)", "–"),
    ]


def test_costs_show_their_range_over_tasks(make):
    (row,) = grid([make("rte", parameters=592_896), make("sst2", parameters=594_434)])
    assert row["Trainable"] == "592,896–594,434"
    assert row["Saved"] == "25.0 % theoretical"


def test_heads_and_neurons_that_are_left(make, backbone_settings):
    """Two layers, eight heads in pairs that share a key, 128 neurons; the stage keeps 2 and 3 of the four pairs."""
    spec = replace(SPEC, costs=(CostColumn("heads", "Heads", "count"), CostColumn("neurons", "Neurons", "count")))
    backbone = backbone_settings("tiny-llama", layers=2, hidden=64, heads=8, key_heads=4, ffn=128)
    narrow = StageLog("narrow", 1, None, {"heads": [[0, 3], [1, 2, 3]], "neurons": [96, 100]})
    whole, narrowed = (
        replace(run, config=run.config | {"backbone": backbone}) for run in (make(method="a"), make(method="b"))
    )
    table = build(frame([whole, replace(narrowed, stages=(narrow, *narrowed.stages))]), spec, "t")
    rows = render.grid(table, PLAIN).to_dict("records")
    assert [(row["Heads"], row["Neurons"]) for row in rows] == [("16", "256"), ("10", "196")]
    assert "Heads: attention heads left, in all layers" in table.notes
    (row,) = grid([make()], spec)
    assert row["Heads"] == "–"  # of a backbone whose settings do not say


def test_a_class_that_moved_to_another_module_is_the_same_setting(make, backbone_settings):
    """As in a run id. Heads and neurons of the older record are counted, too."""
    spec = replace(SPEC, costs=(CostColumn("heads", "Heads", "count"),))
    backbones = backbone_settings("tiny-bert"), backbone_settings("tiny-bert", _target_="dsee_bench.models.old.Bert")
    runs = [
        replace(run, config=run.config | {"backbone": backbone})
        for run, backbone in zip((make(seed=0), make(seed=1)), backbones, strict=True)
    ]
    (row,) = grid(runs, spec)
    assert (row["RTE"], row["Heads"]) == ("50.0 ± 0.0 (2)", "8")


def test_time_saved_is_the_share_of_the_untouched_models(make):
    spec = replace(
        SPEC, costs=(CostColumn("latency_saved", "Time saved", "percent"), CostColumn("latency_ms", "ms", "plain"))
    )

    def timed(task, final, dense, seed=0, **shape):
        record, spread = make(task, seed=seed), f"quartiles {final - 1} and {final + 1}, fastest {final - 2}"
        times = [
            Cost(name, value, "ms", f"one forward pass, 1 threads; median of 7, {spread}")
            for name, value in (("latency_ms", final), ("latency_dense_ms", dense))
        ]
        return replace(record, costs=(*record.costs, *times, *(Cost(name, *of) for name, of in shape.items())))

    table = build(frame([timed("rte", 75.0, 100.0), timed("sst2", 45.0, 90.0), make("sst2", seed=1)]), spec, "t")
    (row,) = render.grid(table, PLAIN).to_dict("records")
    # One number for one shape: the median of the shares .25 and .5, and of 75 and 45 ms.
    assert (row["Time saved"], row["ms"]) == ("37.5 %", "60.0")
    assert "ms: one forward pass, 1 threads; median of 7" in table.notes  # once, though each run has its own quartiles
    told = "dsee: times are the median of 2 timed runs; time saved is 25.0 % to 50.0 % in single ones"
    assert told in table.notes
    (row,) = grid([make(), timed("rte", 75.0, 100.0, seed=1)], spec)
    assert row["Time saved"] == "25.0 %"  # of the seeds that were timed
    (row,) = grid([make()], spec)
    assert row["Time saved"] == "–"
    heads = [{"heads": (count, "heads", "left")} for count in (54, 60)]
    (row,) = grid([timed("rte", 75.0, 100.0, **heads[0]), timed("sst2", 45.0, 90.0, **heads[1])], spec)
    assert row["Time saved"] == "25.0 %–50.0 %"  # two shapes


def test_what_was_forgotten_is_a_column(make):
    """Perplexity on WikiText-2: 20, 24 and 22 before; 25, 26 and 30 after; so 5, 2 and 8 more."""
    split = "wikitext2/test"
    columns = tuple(ScoreColumn("rte", "perplexity", when, f"{split} {when}") for when in ("first", "last", "change"))
    runs = []
    for seed, values in enumerate([(20.0, 25.0), (24.0, 26.0), (22.0, 30.0)]):
        kept = [
            Retained("wikitext2", after, "test", "perplexity", value, "1 and up", "lower", 9, "made up", "cc")
            for after, value in zip((None, "tune"), values, strict=True)
        ]
        runs.append(replace(make(seed=seed), retention=tuple(kept)))
    (row,) = grid(runs, replace(SPEC, columns=columns))
    assert [row[when] for when in ("first", "last", "change")] == ["22.0 ± 2.0 (3)", "27.0 ± 2.6 (3)", "5.0 ± 3.0 (3)"]


def test_flops_that_scattered_zeros_save_are_theoretical(make):
    table = build(frame([make(sparsity=0.2), make(method="lora", sparsity=0.0)]), SPEC, "t")
    rows = render.grid(table, PLAIN).to_dict("records")
    assert [row["Saved"] for row in rows] == ["25.0 %", "25.0 % theoretical"]
    assert any(note.startswith("theoretical: no kernel here skips") for note in table.notes)
    table = build(frame([make(method="lora", sparsity=0.0)]), SPEC, "t")
    assert not any("theoretical" in note for note in table.notes)


def test_flops_saved_without_a_mask_are_none_of_theory(make):
    """SmolLM2's published weights have zeros of their own: 0.03 % of W, which no FLOP is saved for."""
    own_zeros = make(method="dsee_structured", sparsity=0.0).with_costs(
        (Cost("sparsity_masked", 3e-4, "share", "zeros"),)
    )
    table = build(frame([own_zeros]), SPEC, "t")
    (row,) = render.grid(table, PLAIN).to_dict("records")
    assert row["Saved"] == "25.0 %"
    assert not any("theoretical" in note for note in table.notes)


def test_runs_that_differ_in_a_setting_are_rows_of_their_own(make):
    runs = [make(task, sparsity=share, value=share) for task in ("rte", "sst2") for share in (0.5, 0.2)]
    rows = grid(runs)
    assert [(row["Method"], row["RTE"]) for row in rows] == [
        ("dsee (prune.sparsity=0.2)", "20.0 (1)"),  # the pools follow from it and are not repeated
        ("dsee (prune.sparsity=0.5)", "50.0 (1)"),
    ]


def test_a_setting_chosen_for_each_task_does_not_split_a_row(make):
    rows = grid([make("rte", learning_rate=5e-4), make("sst2", learning_rate=2e-4)])
    assert [row["Method"] for row in rows] == ["dsee"]


def test_another_recipe_on_the_same_task_is_not_averaged(make):
    rows = grid([make(learning_rate=rate, seed=seed) for rate in (5e-4, 2e-4) for seed in (0, 1)])
    assert [row["Method"] for row in rows] == ["dsee (train.learning_rate=0.0002)", "dsee (train.learning_rate=0.0005)"]


MIXED = [
    # what the second seed has,        named in the error,                why
    ({"sha256": "other"}, "checksum of the scored split is aa in", "other rows to score on"),
    ({"checkpoint": "last"}, "checkpoint is best dev in", "best beside last"),
    ({"signature": "accuracy|other"}, "metric signature is accuracy|made-up in", "another implementation"),
]


@pytest.mark.parametrize(("change", "named", "why"), MIXED)
def test_a_cell_of_runs_that_cannot_be_compared_is_refused(make, change, named, why):
    runs = [make(seed=0), make(seed=1, **change)]
    with pytest.raises(ValueError) as refused:
        grid(runs)
    for text in ("cell (dsee, RTE) of table made-up", named, *(run.run_id for run in runs)):
        assert text in str(refused.value), why


def test_other_training_rows_or_another_schema_are_refused_too(make):
    first, second = make(seed=0), make(seed=1)
    other = replace(second, data=second.data | {"train": {"n": 2490, "sha256": "other"}})
    with pytest.raises(ValueError, match=r"checksum of the training split is bb in .*, other in "):
        grid([first, other])
    with pytest.raises(ValueError, match=r"record schema is 2 in .*, 3 in "):
        grid([first, replace(second, schema=3)])


def test_two_methods_scored_on_different_rows_do_not_share_a_column(make):
    with pytest.raises(ValueError, match="column RTE of table made-up mixes runs"):
        grid([make(method="lora"), make(method="dsee", sha256="other")])


def test_one_seed_twice_is_refused(make):
    first = make(seed=0)
    with pytest.raises(ValueError, match=r"two runs of one seed, .*-copy; remove"):
        grid([first, replace(first, run_id=first.run_id + "-copy")])


def test_an_undefined_score_is_left_out_of_the_mean(make):
    (row,) = grid([make(seed=0, value=0.6), make(seed=1, value=None)])
    assert row["RTE"] == "60.0 (1)"


def test_the_average_is_taken_for_each_seed_and_needs_every_column(make):
    spec = replace(SPEC, average=Average("Avg", ("RTE", "SST-2")))
    runs = [make(task, seed=seed, value=value) for task, values in {"rte": (0.5, 0.6), "sst2": (0.9, 0.8)}.items()
            for seed, value in enumerate(values)]  # fmt: skip
    assert grid(runs, spec)[0]["Avg"] == "70.0 ± 0.0 (2)"  # both seeds have 70.0
    assert grid(runs[:3], spec)[0]["Avg"] == "70.0 (1)"  # of the one seed that both have, (50 + 90) / 2
    assert grid([*runs[1:2], *runs[2:3]], spec)[0]["Avg"] == "–"  # no seed that both have
    assert grid(runs[:2], spec)[0]["Avg"] == "–"


MAJORITY = {"rte": 146 / 277, "sst2": 0.5}


def with_majority(make, **values):
    """Runs of two tasks, seeds 0 and 1, with the majority's; 163 of 277 is above it by a binomial test, 150 is not."""
    runs = [
        make(task, method, seed, value, sparsity=0.0)
        for method, each in values.items()
        for task, of_task in each.items()
        for seed, value in enumerate(of_task)
    ]
    return [*runs, *(make(task, "majority", 0, value, checkpoint=None) for task, value in MAJORITY.items())]


def test_a_cell_that_is_no_better_than_the_majority_is_marked(make):
    good, bad = (163 / 277, 165 / 277), (163 / 277, 150 / 277)
    runs = with_majority(make, a={"rte": good, "sst2": good}, b={"rte": bad, "sst2": good})
    table = build(frame(runs), SPEC, "t")
    rows = {row["Method"]: row for row in render.grid(table, PLAIN).to_dict("records")}
    assert rows["a"]["RTE"] == "59.2 ± 0.5 (2)"
    assert rows["b"]["RTE"] == "56.5 ± 3.3 (2) †"
    assert rows["majority"]["RTE"] == "52.7 (1)"
    assert any(note.startswith("†: not every run is above") for note in table.notes)


def test_the_average_is_given_without_the_tasks_at_chance_too(make):
    spec = replace(SPEC, average=Average("Avg", ("RTE", "SST-2")))
    good, bad = (163 / 277, 165 / 277), (163 / 277, 150 / 277)
    both = {"a": {"rte": bad, "sst2": good}, "b": {"rte": bad, "sst2": good}}
    rows = {row["Method"]: row for row in grid(with_majority(make, **both), spec)}
    assert rows["a"]["Avg"] == f"{100 * (163 + 163 + 150 + 165) / 277 / 4:.1f} ± 1.4 (2)"
    assert rows["a"]["Avg without RTE"] == "59.2 ± 0.5 (2)"
    assert rows["majority"]["Avg"] == "51.4 (1)"
    half = both | {"b": {"rte": good, "sst2": good}}  # half of the rows is not most of them
    assert "Avg without RTE" not in grid(with_majority(make, **half), spec)[0]


def test_a_table_never_mixes_what_chose_the_checkpoints(make):
    ways = {"a": "best dev", "b": "best validation", "c": "last", "majority": None}
    runs = [make(method=name, seed=seed, checkpoint=how) for name, how in ways.items() for seed in (0, 1)]
    tables = by_selection(frame(runs), SPEC, "glue")
    assert [table.name for table in tables] == ["glue", "glue-validation", "glue-last"]
    assert [[row.method for row in table.rows] for table in tables] == [[name, "majority"] for name in "abc"]
    assert [any("optimistic" in note for note in table.notes) for table in tables] == [True, False, False]
    assert tables[1].spec.title == "Made up; checkpoints chosen on rows held out of train"
    (only,) = by_selection(frame(runs[-2:]), SPEC, "glue")
    assert [row.method for row in only.rows] == ["majority"]
    assert by_selection(frame([]), SPEC, "glue") == []


def test_a_setting_that_no_run_has_is_null_in_all_of_them(make):
    """A table that leaves out some places of sparse entries also shows runs of methods without any."""
    (row,) = grid([make("rte", "full")], replace(SPEC, filters={"method.stages.other.where": (None, "decomposition")}))
    assert row["Method"] == "full"
    with pytest.raises(ValueError, match=r"no run has the setting .*did you mean 'method.stages.sparse.placement'"):
        grid([make()], replace(SPEC, filters={"method.stages.sparse.placment": (None, "decomposition")}))


def test_where_picks_runs_and_filters_drop_them(make):
    runs = [make(sparsity=share, seed=seed) for share in (0.2, 0.5) for seed in (0, 7)]
    rows = (MethodSpec("dsee", "DSEE 50 %", {"method.stages.prune.sparsity": 0.5}),)
    (row,) = grid(runs, replace(SPEC, rows=rows, filters={"seed": (0, 1, 2)}))
    assert (row["Method"], row["RTE"]) == ("DSEE 50 %", "50.0 (1)")
    misspelt = (MethodSpec("dsee", "DSEE", {"method.stages.prune.sparsty": 0.5}),)
    with pytest.raises(ValueError, match=r"no run has the setting .*did you mean 'method.stages.prune.sparsity'"):
        grid(runs, replace(SPEC, rows=misspelt))


def test_null_in_a_filter_is_a_setting_that_is_not_set(make):
    """Beside a number, too, where pandas takes None for NaN: runs on all rows stand apart from those on a subset."""
    runs = [make(value=0.5), make(value=0.9, sparsity=0.5)]
    runs = [
        replace(run, config=run.config | {"train": {"max_rows": limit}})
        for run, limit in zip(runs, (None, 800), strict=True)
    ]
    for limit, shown in ((None, "50.0 (1)"), (800, "90.0 (1)")):
        (row,) = grid(runs, replace(SPEC, filters={"train.max_rows": limit}))
        assert row["RTE"] == shown


def test_without_columns_every_task_shows_its_first_score(make):
    record = make("mrpc")
    f1 = Score("f1", 0.8, "0-1", "higher", "dev", 277, "f1|made-up")
    (row,) = grid([replace(record, scores=(*record.scores, f1))], replace(SPEC, columns=None))
    assert row["mrpc accuracy"] == "50.0 (1)"
    assert "mrpc f1" not in row


def test_a_table_no_run_belongs_in_is_none(make):
    assert build(frame([make("cola")]), SPEC, "made-up") is None
    assert build(frame([make(status="failed")]), SPEC, "made-up") is None
    assert build(frame([]), SPEC, "made-up") is None


def test_the_order_of_the_records_does_not_matter(make):
    runs = [
        make(task, method, seed, 0.1 * seed) for task in ("rte", "sst2") for method in ("lora", "x") for seed in (0, 1)
    ]
    for write in (render.markdown, render.latex, render.csv):
        assert write(build(frame(runs), SPEC, "t")) == write(build(frame(runs[::-1]), SPEC, "t"))


def test_the_csv_has_full_digits(make):
    text = render.csv(build(frame([make(value=1 / 3, parameters=592_896)]), SPEC, "t"))
    assert (
        text.splitlines()[1]
        == "minilm,dsee,RTE,rte,accuracy,dev,33.33333333333333,,33.33333333333333,1,0,,best dev,592896.0,0.25"
    )


def test_latex_escapes_what_tex_would_read_as_its_own():
    assert (
        render.escape_latex(r"a_b & 50 % of {x} ± 1 \ c|d")
        == r"a\_b \& 50 \% of \{x\} $\pm$ 1 \textbackslash{} c\textbar{}d"
    )


COSTS = [
    # value, how, shown
    (592_896, "count", "592,896"),
    (0.2504, "percent", "25.0 %"),
    (22_348_431_360, "giga", "22.35 G"),
    (45_400_000, "mega", "45.4 M"),
    (12.34, "plain", "12.3"),
]


@pytest.mark.parametrize(("value", "how", "shown"), COSTS)
def test_costs_are_printed_as_the_table_asks(value, how, shown):
    assert cost_text(value, how) == shown


def test_settings_are_flattened_to_the_names_of_the_command_line():
    assert flatten({"a": {"b": {"c": 1}, "d": [1, 2]}, "e": {}}) == {"a.b.c": 1, "a.d": (1, 2), "e": {}}


CLEAR, CLOSE = (0.50, 0.51, 0.52), (0.69, 0.71, 0.73)
MARKS = [
    # values of two methods,          marked as,                  why
    ({"a": (0.70, 0.72, 0.74), "b": CLEAR}, {"a": "**72.0 ± 2.0 (3)**", "b": "51.0 ± 1.0 (3)"}, "far apart"),
    ({"a": (0.70, 0.72, 0.74), "b": CLOSE}, {"a": "**72.0 ± 2.0 (3)**", "b": "71.0 ± 2.0 (3) ≈"}, "within noise"),
    ({"a": (0.6, 0.8), "b": (0.8, 0.6)}, {"a": "**70.0 ± 14.1 (2)**", "b": "**70.0 ± 14.1 (2)**"}, "equal"),
    ({"a": (0.70,), "b": (0.69,)}, {"a": "70.0 (1)", "b": "69.0 (1)"}, "one seed tells nothing"),
    (
        {"a": (0.90,), "b": (0.70, 0.72), "c": (0.10, 0.12)},
        {"a": "90.0 (1)", "b": "**71.0 ± 1.4 (2)**", "c": "11.0 ± 1.4 (2)"},
        "a single seed is never bold, whatever its value",
    ),
    ({"a": (0.70, 0.72)}, {"a": "71.0 ± 1.4 (2)"}, "nothing to be better than"),
]


@pytest.mark.parametrize(("values", "shown", "why"), MARKS)
def test_the_best_is_bold_and_what_cannot_be_told_from_it_is_marked(make, values, shown, why):
    runs = [
        make(method=name, seed=seed, value=value) for name, each in values.items() for seed, value in enumerate(each)
    ]
    rows = render.grid(build(frame(runs), SPEC, "t"), render.MARKDOWN).to_dict("records")
    assert {row["Method"]: row["RTE"] for row in rows} == shown, why


def test_lower_is_better_where_the_metric_says_so(make):
    def ter(method, value, seed):
        record = make(method=method, seed=seed, unit="0-100", score="accuracy")
        return replace(record, scores=(replace(record.scores[0], value=value, better="lower"),))

    runs = [ter(method, value, seed) for method, value in (("a", 0.9), ("b", 0.5)) for seed in (0, 1)]
    rows = render.grid(build(frame(runs), SPEC, "t"), render.MARKDOWN).to_dict("records")
    assert [row["RTE"] for row in rows] == ["0.9 ± 0.0 (2)", "**0.5 ± 0.0 (2)**"]


def test_published_numbers_stand_beside_ours_with_their_source(make):
    other = Published("roberta-base", "LoRA", "somebody's README", {"SST-2": "95.1 ± .2", "Trainable": "0.8M"})
    elsewhere = Published("roberta-base", "LoRA", "somebody's README", {"Trainable": "0.8M"})
    table = build(frame([make(), make("sst2", "x")]), replace(SPEC, published=(elsewhere, other)), "t")
    ours, _, theirs = render.grid(table, PLAIN).to_dict("records")  # the row without a score in these columns is gone
    assert (ours["RTE"], ours["SST-2"]) == ("50.0 (1)", "–")
    assert theirs == {"Backbone": "roberta-base", "Method": "LoRA [1]", "RTE": "–", "SST-2": "95.1 ± .2",
                      "Trainable": "0.8M", "Saved": "–", "Checkpoint": "published"}  # fmt: skip
    assert "[1] LoRA, roberta-base: somebody's README" in table.notes


def test_the_notes_say_what_a_reader_must_know(make):
    runs = [make("rte", learning_rate=5e-4), make("sst2", learning_rate=2e-4), make("rte", seed=1, value=None)]
    notes = "\n".join(build(frame(runs), SPEC, "t").notes)
    for said in (
        "RTE: accuracy on 277 examples of dev; accuracy|made-up",
        f"RTE: no value, and so left out, in {runs[2].run_id}",
        "Trainable: adapter and head",
        "\ntrain.learning_rate is 0.0002 for sst2; 0.0005 for rte\n",
        "3 runs, made at c0ffee, on a made-up machine",
    ):
        assert said in notes


def test_the_notes_say_whose_the_recipes_are_and_what_they_were_not_made_for(make):
    def run(task, method, name):
        made = make(task=task, method=method, backbone="bert-base")
        return replace(made, config=made.config | {"train": {"name": name}})

    runs = [run("rte", "dsee", "dsee_glue"), run("sst2", "full", "dsee_glue"), run("sst2", "dsee", "mine")]
    notes = build(frame(runs), SPEC, "t").notes
    made = "recipe dsee_glue (DSEE's authors), made for bert-base on rte with dsee, dsee_update, dsee_authors"
    assert f"{made}; not made for sst2, full" in notes
    assert "recipe mine: not listed in conf/recipes.yaml, so nobody says what it was made for" in notes


def test_what_is_chosen_for_a_task_is_said_once_where_the_rows_agree(make):
    def run(task, method, epochs, rate=5e-4):
        made = make(task, method, learning_rate=rate)
        stages = {"tune": {"epochs": epochs}, "search": {"epochs": 1}}
        train = {"epochs": epochs, "retune_epochs": epochs, "learning_rate": rate}
        return replace(made, config=made.config | {"method": {"name": method, "stages": stages}, "train": train})

    runs = [run("rte", "a", 3), run("sst2", "a", 1, rate=1e-4), run("rte", "b", 3), run("sst2", "b", 1)]
    notes = build(frame([*runs, run("rte", "c", 3)]), SPEC, "t").notes
    assert [note for note in notes if " for rte" in note] == [
        "train.epochs, train.retune_epochs are 1 for sst2; 3 for rte",  # tune.epochs only takes it over
        "a: train.learning_rate is 0.0001 for sst2; 0.0005 for rte",
    ]


def test_a_setting_that_happens_to_equal_one_of_training_is_a_choice_of_its_own(make):
    def run(task, number):
        made = make(task)
        stages = {"prune": {"batches": number}}
        return replace(
            made, config=made.config | {"method": {"name": "dsee", "stages": stages}, "train": {"epochs": number}}
        )

    notes = build(frame([run("rte", 3), run("sst2", 1)]), SPEC, "t").notes
    assert "prune.batches, train.epochs are 1 for sst2; 3 for rte" in notes


def test_a_page_cannot_be_broken_by_a_name(make):
    text = render.html(build(frame([make(method="<script>")]), SPEC, "t"))
    assert "&lt;script&gt;" in text
    assert "<script" not in text


def test_the_latex_compiles(results, tmp_path):
    if shutil.which("pdflatex") is None:
        pytest.skip("needs pdflatex (texlive-latex-recommended)")
    runs = frame(read_all(results))
    parts = []
    for path in spec_paths(CONF / "table", []):
        table = build(runs, read_spec(path), path.stem)
        parts += [render.latex(table)] if table is not None else []
    assert len(parts) >= 2
    packages = "\\usepackage{booktabs}\\usepackage{graphicx}\\usepackage[T1]{fontenc}"
    document = f"\\documentclass{{article}}{packages}\\begin{{document}}{''.join(parts)}\\end{{document}}"
    (tmp_path / "t.tex").write_text(document)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]


def test_a_setting_may_hold_braces(make):
    """It stands in the row's name, and so in what an error would say of its cells."""
    runs = []
    for score in ("{1}", "plain"):
        found = make(method="lora", value=0.6)
        stages = {**found.config["method"]["stages"], "prune": {"score": score}}
        config = {**found.config, "method": {**found.config["method"], "stages": stages}}
        runs.append(replace(found, run_id=f"{found.run_id}-{score.strip('{}')}", config=config))
    assert any("{1}" in row.label for row in build(frame(runs), SPEC, "made-up").rows)
