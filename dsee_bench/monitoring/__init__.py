"""What a run tells while it goes on: lines and bars to follow, its log file, its curve, wandb."""
