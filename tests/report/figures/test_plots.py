"""Figures: what is drawn, from which numbers, and the same bytes each time. How they look was judged by eye."""

import itertools
from dataclasses import replace

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

from dsee_bench.record import Cost, StageLog
from dsee_bench.report.figures import labels
from dsee_bench.report.figures.figure import ink, panels
from dsee_bench.report.figures.plots import draw
from dsee_bench.report.figures.scores import Point, curve, pareto, tradeoff
from dsee_bench.report.figures.sparsity import grid, mean_sparsity
from dsee_bench.report.figures.times import shapes
from dsee_bench.report.figures.training import curve_of, dev_metric, stage_starts, training
from dsee_bench.report.record_check import check
from dsee_bench.report.records import sparsity_by_site
from dsee_bench.report.results import frame
from dsee_bench.report.spec import Average, CostColumn, Figure, MethodSpec, ScoreColumn, TableSpec
from dsee_bench.report.tables import build
from dsee_bench.report.terminal import sparsity_text

BY_COST = Figure("tradeoff", "trainable_parameters", "trainable", "log")
ALONG = Figure("curve", "sparsity_masked", "sparsity", "linear")
FIGURES = (BY_COST, ALONG, Figure("dots"), Figure("training"), Figure("heatmap"))
SITES = {"bert.encoder.layer.0.attention.self.query": 0.1, "bert.encoder.layer.10.attention.self.query": 0.3,
         "bert.encoder.layer.2.attention.self.query": 0.2, "bert.pooler.dense": 0.4}  # fmt: skip


def spec(figures=FIGURES):
    return TableSpec(
        title="Made up",
        split="dev",
        digits=1,
        other_methods=True,
        costs=(CostColumn("flops_saved", "Saved", "percent"),),
        rows=(MethodSpec("dsee", "DSEE"),),
        columns=(ScoreColumn("rte", "accuracy", "RTE"),),
        figures=figures,
    )


def by_id(runs):
    return {run.run_id: run for run in runs}.__getitem__


@pytest.fixture
def runs(make, backbone_settings):
    """DSEE at two sparsities and LoRA, two seeds; tuned twice with pruning between."""
    tune = StageLog("tune", 1, None, {"steps": 40, "curve": [{"step": 20, "loss": 0.7}, {"step": 40, "loss": 0.5}],
                                      "dev": [{"step": 40, "accuracy": 0.6}]})  # fmt: skip
    retune = replace(
        tune, name="retune", facts=tune.facts | {"dev": [{"step": 20, "accuracy": None}, {"step": 40, "accuracy": 0.8}]}
    )
    stages = (StageLog("sparse", 1, None, {}), tune, StageLog("prune", 1, None, {"sparsity_by_site": SITES}), retune)
    pruned = [replace(make(seed=seed, sparsity=share, value=0.9 - share, parameters=10), stages=stages)
              for share in (0.2, 0.5) for seed in (0, 1)]  # fmt: skip
    backbone = backbone_settings("bert-base", name="minilm")
    pruned = [replace(run, config=run.config | {"backbone": backbone}) for run in pruned]
    return [*pruned, make(method="lora", sparsity=0.0, value=0.8, parameters=1000)]


def test_every_figure_is_drawn_and_again_to_the_same_bytes(runs, tmp_path):
    table = build(frame(runs), spec(), "t")
    written = {path.name: path.read_bytes() for path in draw(table, by_id(runs), tmp_path)}
    names = ["curve-sparsity_masked-minilm", "dots-minilm", "heatmap-minilm", "tradeoff-trainable_parameters-minilm"]
    assert sorted(written) == sorted(
        f"t-{name}.{kind}" for name in [*names, "training-minilm-rte"] for kind in ("png", "svg")
    )
    again = {
        path.name: path.read_bytes() for path in draw(build(frame(runs[::-1]), spec(), "t"), by_id(runs), tmp_path)
    }
    assert again == written


def test_a_figure_without_data_is_not_drawn(make, tmp_path):
    figures = (Figure("tradeoff", "latency_ms", "ms", "linear"), Figure("heatmap"), Figure("training"))
    runs = [replace(make(), stages=())]
    assert list(draw(build(frame(runs), spec(figures), "t"), by_id(runs), tmp_path)) == []


def test_a_tradeoff_shows_the_mean_of_each_row_and_the_front(runs):
    table = build(frame(runs), spec(), "t")
    with panels(["RTE"]) as sheet:
        assert tradeoff(sheet.axes[0], table.rows, 0, BY_COST)
        (front,) = [line for line in sheet.axes[0].get_lines() if line.get_label() == "Pareto front"]
        labels = sheet.axes[0].get_legend_handles_labels()[1]
        assert sheet.axes[0].get_xscale() == "log"
    assert front.get_xdata() == pytest.approx([10, 1000])
    assert front.get_ydata() == pytest.approx([70.0, 80.0])
    assert set(labels) == {"Pareto front", "DSEE (prune.sparsity=0.2)", "DSEE (prune.sparsity=0.5)", "lora"}


def test_a_curve_is_a_line_a_method_and_a_level_for_one_point(runs):
    table = build(frame(runs), spec(), "t")
    with panels(["RTE"]) as sheet:
        assert curve(sheet.axes[0], table.rows, 0, ALONG)
        drawn = [[list(map(float, data)) for data in line.get_data()] for line in sheet.axes[0].get_lines()]
        assert len(sheet.axes[0].collections) >= 1  # the band
    assert [pytest.approx([0.2, 0.5]), pytest.approx([70.0, 40.0])] in drawn
    assert [pytest.approx([0, 1]), pytest.approx([80.0, 80.0])] in drawn  # LoRA's level, over the whole width


def test_the_average_over_tasks_is_drawn_at_its_mean_cost(make):
    runs = [make("rte", value=0.5, parameters=100), make("sst2", value=0.9, parameters=300)]
    columns = (ScoreColumn("rte", "accuracy", "RTE"), ScoreColumn("sst2", "accuracy", "SST-2"))
    table = build(frame(runs), replace(spec(), columns=columns, average=Average("Avg", ("RTE", "SST-2"))), "t")
    assert table.headings == ("RTE", "SST-2", "Avg")
    with panels(table.headings) as sheet:
        assert tradeoff(sheet.axes[2], table.rows, 2, BY_COST)
        (front,) = [line for line in sheet.axes[2].get_lines() if line.get_label() == "Pareto front"]
    assert (list(front.get_xdata()), list(front.get_ydata())) == ([200.0], [70.0])


TICKS = [(2.5e9, "2.5 G"), (900.0, "900")]


@pytest.mark.parametrize(("cost", "tick"), TICKS)
def test_large_costs_are_read_off_with_a_unit(make, cost, tick):
    runs = [replace(make(method=name), costs=(Cost("flops_final", share * cost, "", ""),))
            for name, share in (("a", 0.5), ("b", 1.5))]  # fmt: skip
    table = build(frame(runs), replace(spec(), costs=()), "t")
    with panels(["RTE"]) as sheet:
        assert tradeoff(sheet.axes[0], table.rows, 0, Figure("tradeoff", "flops_final", "FLOPs", "linear"))
        formatter = sheet.axes[0].xaxis.get_major_formatter()
        formatter.set_locs([0.0, cost])
        assert formatter(cost) == tick


FRONTS = [
    # (x, y) of the points,             better,   the front,            why
    ([(1, 5), (2, 7), (3, 6)], "higher", [(1, 5), (2, 7)], "dearer and worse is beaten"),
    ([(1, 5), (1, 6)], "higher", [(1, 6)], "same cost: the better one"),
    ([(1, 5), (2, 5)], "higher", [(1, 5)], "same score: the cheaper one"),
    ([(1, 5), (2, 3), (3, 4)], "lower", [(1, 5), (2, 3)], "an error rate"),
]


@pytest.mark.parametrize(("points", "better", "front", "why"), FRONTS)
def test_the_pareto_front(points, better, front, why):
    found = pareto([Point("", x, y, None, better) for x, y in points])
    assert [(point.x, point.y) for point in found] == front, why


def test_curves_go_on_from_stage_to_stage(runs):
    assert curve_of(runs[0], "curve") == ([20, 40, 60, 80], [0.7, 0.5, 0.7, 0.5])
    assert curve_of(runs[0], "dev") == ([40, 80], [0.6, 0.8])  # an undefined score is no point
    assert stage_starts(runs[0]) == [(0, ["sparse", "tune"]), (40, ["prune", "retune"])]
    assert dev_metric(runs[0]) == "accuracy"


def test_names_of_stages_that_start_close_by_do_not_cover_each_other(make):
    """EarlyBERT's short search: the names of its first stages are wider than it is long."""
    search = StageLog(
        "search", 1, None, {"steps": 268, "curve": [{"step": 20, "loss": 1.5}, {"step": 268, "loss": 1.5}]}
    )
    stages = (StageLog("coefficients", 1, None, {}), search, StageLog("narrow", 1, None, {}),
              StageLog("tune", 1, None, {"steps": 804, "curve": [{"step": 804, "loss": 0.5}]}))  # fmt: skip
    with panels(["EarlyBERT", "", "", "", "", "", "", ""], across=4, size=(2.0, 1.5)) as sheet:
        loss = sheet.axes[0]
        assert training((loss, sheet.axes[4]), [replace(make(), stages=stages)])
        sheet.figure.draw_without_rendering()
        boxes = [text.get_window_extent() for text in (*loss.texts, loss.title)]
    assert [text.get_text() for text in loss.texts] == ["coefficients\nsearch", "narrow\ntune"]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_long_titles_stay_on_the_sheet_and_beside_each_other():
    titles = [
        "DSEE update (low rank + sparse)",
        "DSEE structured, 40 % of FFN",
        "LoRA",
        "DSEE (sparse.num_entries=256, rank=16)",
    ]
    with panels(titles, across=4, size=(2.0, 1.5)) as sheet:
        sheet.figure.draw_without_rendering()
        boxes = [axes.title.get_window_extent() for axes in sheet.axes]
        assert all(box.x0 >= 0 and box.x1 <= sheet.figure.bbox.width for box in boxes)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_sites_are_laid_out_by_layer_and_kind(runs):
    kinds, lines = grid(sparsity_by_site(runs[0]))
    assert kinds == ["query", "pooler"]
    # By number, and what has no layer last.
    assert list(lines.items()) == [("0", [0.1, None]), ("2", [0.2, None]), ("10", [0.3, None]), ("–", [None, 0.4])]


def test_two_weights_in_one_place_show_their_mean(make, backbone_settings):
    """DeBERTa projects positions for queries and for keys, by two weights of one shape in each layer."""
    backbone = backbone_settings("tiny-deberta")
    paths = {f"deberta.encoder.layer.0.attention.self.{name}": share
             for name, share in (("pos_proj", 0.2), ("pos_q_proj", 0.4))}  # fmt: skip
    stages = (StageLog("prune", 1, None, {"sparsity_by_site": paths}),)
    run = replace(make(), stages=stages, config=make().config | {"backbone": backbone})
    assert grid(sparsity_by_site(run)) == (["position"], {"0": [pytest.approx(0.3)]})


def test_a_weight_that_the_backbone_does_not_have_is_refused(runs):
    stages = (StageLog("prune", 1, None, {"sparsity_by_site": {"bert.encoder.layer.12.output.dense": 0.2}}),)
    with pytest.raises(ValueError, match=r"names 'bert.encoder.layer.12.output.dense', which is no weight"):
        check(replace(runs[0], stages=stages))


def test_the_mean_over_runs_needs_the_same_sites(runs, make):
    other = replace(runs[0], stages=(StageLog("prune", 1, None, {"sparsity_by_site": dict.fromkeys(SITES, 0.5)}),))
    shares = {site.kind: share for site, share in mean_sparsity([runs[0], other]).items()}
    assert shares["pooler"] == pytest.approx(0.45)
    assert mean_sparsity([runs[0], make()]) is None


def test_masks_are_shown_as_text(runs, make):
    said = sparsity_text(runs[0])
    assert ["10", "30.0", "–"] in [line.split() for line in said.splitlines()]
    with pytest.raises(ValueError, match=r"no stage that zeroed single weights \(stages: tune, prune\)"):
        sparsity_text(make())


def test_no_two_rows_look_alike():
    assert len({ink(place) for place in range(70)}) == 70
    assert len({(ink(place).colour, ink(place).marker) for place in range(70)}) == 70


WRONG = [
    ({"kind": "curve"}, "a curve needs cost, label and scale"),
    ({"kind": "dots", "cost": "flops_final"}, "a dots has no cost axis"),
]


@pytest.mark.parametrize(("fields", "says"), WRONG)
def test_a_figure_with_the_wrong_axis_is_refused(fields, says):
    with pytest.raises(ValueError, match=says):
        Figure(**fields)


def test_a_cost_that_is_not_known_leaves_the_point_out(make):
    runs = [replace(make(method="a"), costs=(Cost("latency_ms", None, "ms", ""),)), make(method="b")]
    table = build(frame(runs), spec(), "t")
    with panels(["RTE"]) as sheet:
        assert tradeoff(sheet.axes[0], table.rows, 0, BY_COST)
        assert set(sheet.axes[0].get_legend_handles_labels()[1]) == {"Pareto front", "b"}


def test_names_stand_beside_their_points_and_cover_nothing(make, tmp_path):
    """Twelve rows, as good as each other but one: their names would lie on a heap."""
    runs = [make(method=f"method_{place}", value=0.8 + place / 1e4 if place else 0.2) for place in range(12)]
    table = build(frame(runs), spec(), "t")
    titles = ["RTE", "RTE again"]
    with panels(titles, across=2, size=(3.6, 2.1)) as sheet:
        for axes in sheet.axes:
            assert tradeoff(axes, table.rows, 0, BY_COST)
        sheet.save(tmp_path / "figure")
        renderer = FigureCanvasAgg(sheet.figure).get_renderer()
        texts = [text for axes in sheet.axes for text in labels.names(axes)]
        assert [text.get_text() for text in texts[:12]] == [row.label for row in table.rows]
        boxes = [Text.get_window_extent(text, renderer) for text in texts]
        panes = [axes.get_window_extent(renderer) for axes in sheet.axes]
        assert not any(a.overlaps(b) for a, b in itertools.combinations([*boxes, *panes], 2))
        assert all(box.x0 >= 0 and box.x1 <= sheet.figure.bbox.width for box in boxes)


PLACES = [
    # heights,         gap,  places,            why
    ([0.2, 0.8], 0.1, [0.2, 0.8], "far apart: where they are"),
    ([0.5, 0.5], 0.1, [0.45, 0.55], "in one place: half a gap each way, in their order"),
    ([0.52, 0.5], 0.1, [0.56, 0.46], "too close: moved alike, the higher one stays above"),
    ([0.0, 0.0], 0.1, [0.0, 0.1], "not below the panel"),
    ([0.5, 1.0, 1.0], 0.25, [0.5, 0.75, 1.0], "not above it"),
    ([0.5, 0.5, 0.5], 1.0, [-0.5, 0.5, 1.5], "no room: beyond both ends"),
]


@pytest.mark.parametrize(("heights", "gap", "places", "why"), PLACES)
def test_names_are_spread(heights, gap, places, why):
    assert labels.spread(heights, gap) == pytest.approx(places), why


BARS = [
    # (x, low, high),                                   shifts,        why
    ([(0, 0, 1), (5, 0, 1)], [0, 0], "other costs"),
    ([(0, 0, 1), (0, 2, 3)], [0, 0], "one cost, bars apart"),
    ([(0, 0, 1), (0, 0.5, 2)], [-2.5, 2.5], "one cost, bars that touch: side by side"),
    ([(0, 0, 3), (0.5, 1, 2), (0, 2.5, 4)], [-2.5, 2.5, 2.5], "the third finds room above the second"),
]


@pytest.mark.parametrize(("bars", "shifts", "why"), BARS)
def test_bars_of_one_cost_are_drawn_side_by_side(bars, shifts, why):
    assert labels.beside(bars, near=1) == shifts, why


def test_a_png_has_300_dots_an_inch(runs, tmp_path):
    (path,) = [path for path in draw(build(frame(runs), spec((BY_COST,)), "t"), by_id(runs), tmp_path)
               if path.suffix == ".png"]  # fmt: skip
    assert Image.open(path).info["dpi"] == pytest.approx((300, 300), abs=0.01)


def test_time_saved_is_drawn_once_for_a_shape_of_model(make, tmp_path):
    """Two tasks narrowed alike, timed apart: tables pool their times, and one point stands for both."""
    times = (Cost("latency_ms", 75.0, "ms", "a clock"), Cost("latency_dense_ms", 100.0, "ms", "a clock"))
    saved = (Cost("flops_saved", 0.3, "share", ""), *times)
    runs = [replace(make(task, value=0.5), costs=saved) for task in ("rte", "sst2")]
    columns = (ScoreColumn("rte", "accuracy", "RTE"), ScoreColumn("sst2", "accuracy", "SST-2"))
    table = build(frame(runs), replace(spec((Figure("times"),)), columns=columns), "t")
    assert shapes(table.rows[0]) == [pytest.approx((30, 25))]
    assert {path.name for path in draw(table, by_id(runs), tmp_path)} == {"t-times-minilm.png", "t-times-minilm.svg"}
    untimed = build(frame([make()]), spec((Figure("times"),)), "t")
    assert list(draw(untimed, by_id(runs), tmp_path)) == []


def test_a_cost_of_nothing_has_no_place_on_a_logarithmic_axis(make):
    runs = [make(method="a", parameters=0), make(method="b")]
    table = build(frame(runs), spec(), "t")
    with panels(["RTE"]) as sheet:
        assert tradeoff(sheet.axes[0], table.rows, 0, BY_COST)
        assert [text.get_text() for text in labels.names(sheet.axes[0])] == ["b"]
