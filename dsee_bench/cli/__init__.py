"""The commands: dsee-bench, dsee-report, dsee-score."""
