"""Messages of a run, its log file, progress, training curve and tracking in wandb."""
