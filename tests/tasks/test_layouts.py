"""Ready-made tasks in the published layout of sets that have no rows here, in small and made up; plain and gzip."""

import gzip
import json

import pytest

from dsee_bench import plan
from dsee_bench.config.shorthand import spelled_out
from dsee_bench.runs import sweep


def lines(*rows):
    return "".join(f"{row}\n" for row in rows)


def objects(*rows):
    return lines(*map(json.dumps, rows))


def snli(label):
    return {"sentence1": "A man runs.", "sentence2": "A man moves.", "gold_label": label, "pairID": "1"}


def anli(label):
    return {"uid": "1", "context": "A man runs.", "hypothesis": "He moves.", "label": label, "reason": ""}


MULTIRC = {
    "idx": 0,
    "passage": {
        "text": "Ann has a cat.",
        "questions": [
            {
                "question": "Who?",
                "idx": 0,
                "answers": [{"text": "Ann", "idx": 0, "label": 1}, {"text": "Bo", "idx": 1, "label": 0}],
            }
        ],
    },
}
WSC = {
    "text": "Mark told Pete that he won.",
    "idx": 0,
    "label": False,
    "target": {"span1_index": 0, "span1_text": "Mark", "span2_index": 4, "span2_text": "he"},
}
NEWS = '"3","Oil up","It ""rose""."\n"1","Vote","They vote."\n'
SICK = "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment\n"
SICK += "1\tA\tB\t4.5\tNEUTRAL\n2\tC\tD\t1\tENTAILMENT\n"
TWEETS = {"text": lines("@user so funny", "ok"), "labels": lines(1, 0)}
LAYOUTS = [
    # task, {file: content}, texts of dev's first row, its label, rows of dev
    (
        "snli",
        {
            f"snli_1.0_{s}.jsonl": objects(snli("neutral"), snli("-"), snli("entailment"))
            for s in ("train", "dev", "test")
        },
        ("A man runs.", "A man moves."),
        "neutral",
        2,
    ),
    (
        "anli_r2",
        {f"R2/{s}.jsonl": objects(anli("c"), anli("e")) for s in ("train", "dev", "test")},
        ("A man runs.", "He moves."),
        "contradiction",
        2,
    ),
    (
        "scitail",
        {
            f"tsv_format/scitail_1.0_{s}.tsv": lines("A.\tB.\tneutral", 'C "c".\tD.\tentails')
            for s in ("train", "dev", "test")
        },
        ("A.", "B."),
        "neutral",
        2,
    ),
    ("sick", {f"SICK_{s}.txt": SICK for s in ("train", "trial", "test_annotated")}, ("A", "B"), "neutral", 2),
    ("sick_relatedness", {f"SICK_{s}.txt": SICK for s in ("train", "trial", "test_annotated")}, ("A", "B"), 4.5, 2),
    (
        "multirc",
        {f"MultiRC/{s}.jsonl": objects(MULTIRC) for s in ("train", "val")},
        ("Ann has a cat.", "Who? Ann"),
        "yes",
        2,
    ),
    (
        "wsc",
        {f"WSC/{s}.jsonl": objects(WSC, WSC | {"label": True}) for s in ("train", "val")},
        ("*Mark* told Pete that *he* won.", "he is Mark"),
        "no",
        2,
    ),
    (
        "paws",
        {
            f"{s}.tsv": lines("id\tsentence1\tsentence2\tlabel", "1\tA b .\tB a .\t0", "2\tA b .\tA b .\t1")
            for s in ("train", "dev", "test")
        },
        ("A b .", "B a ."),
        "different",
        2,
    ),
    ("cr", {"custrev.all": lines(*["0 bad"] * 10, *["1 good"] * 10)}, ("bad",), "negative", 4),
    ("ag_news", {"train.csv": NEWS, "test.csv": NEWS}, ('Oil up It "rose".',), "Business", 2),
    (
        "dbpedia",
        {f"{s}.csv": '14,"A","A book."\n1,"B","A firm."\n' for s in ("train", "test")},
        ("A A book.",),
        "WrittenWork",
        2,
    ),
    ("yelp_polarity", {f"{s}.csv": '"2","Fine."\n"1","Dull."\n' for s in ("train", "test")}, ("Fine.",), "positive", 2),
    ("yelp_full", {f"{s}.csv": '"5","Fine."\n"1","Dull."\n' for s in ("train", "test")}, ("Fine.",), "5", 2),
    ("imdb", {f"{s}/{c}/0_1.txt": c for s in ("train", "test") for c in ("neg", "pos", "unsup")}, ("neg",), "neg", 2),
    (
        "newsgroups",
        {f"20news-bydate-{s}/{c}/5": f"Subject: {c}\n" for s in ("train", "test") for c in ("sci.med", "rec.autos")},
        ("Subject: rec.autos\n",),
        "rec.autos",
        2,
    ),
    (
        "hwu64",
        {f"{s}.csv": "text,category\nwake me up,alarm_set\nstop,alarm_remove\n" for s in ("train", "val", "test")},
        ("wake me up",),
        "alarm_set",
        2,
    ),
    (
        "tweet_irony",
        {f"irony/{s}_{k}.txt": v for s in ("train", "val", "test") for k, v in TWEETS.items()},
        ("@user so funny",),
        "irony",
        2,
    ),
    (
        "stance_climate",
        {f"stance/climate/{s}_{k}.txt": v for s in ("train", "val", "test") for k, v in TWEETS.items()},
        ("@user so funny",),
        "against",
        2,
    ),
    (
        "phrasebank_allagree",
        {"Sentences_AllAgree.txt": lines(*["Profit rose to EUR 3 .@positive"] * 10)},
        ("Profit rose to EUR 3 .",),
        "positive",
        1,
    ),
    (
        "sts12",
        {f"2012/{n}.{s}.tsv": "3.5\tA b.\tA c.\n\tX\tY\n" for n in ("MSRpar", "MSRvid") for s in ("train", "test")},
        ("A b.", "A c."),
        3.5,
        2,
    ),
]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("task", "files", "texts", "label", "rows"), LAYOUTS, ids=[each[0] for each in LAYOUTS])
def test_a_published_layout(task, files, texts, label, rows, packed, tmp_path):
    folders = any(name.startswith(("train/", "20news")) for name in files)
    for name, content in files.items():
        path = tmp_path / (f"{name}.gz" if packed and not folders else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())
    settings = plan.read(sweep.resolved(spelled_out([f"task={task}", f"data_dir={tmp_path}", "backbone=tiny-bert"])))
    assert settings.run_id.startswith(f"{task}-")
    dev = settings.task.load(tmp_path, 0)["dev"]
    assert len(dev) == rows
    first = dev.examples[0]
    assert first.texts == texts
    assert (settings.task.labels[first.label] if isinstance(label, str) else first.label) == label
