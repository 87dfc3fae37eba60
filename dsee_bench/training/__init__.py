"""The model learns and answers: a tuning on Trainer, checkpoints it goes on from, scores of a split, written texts."""
