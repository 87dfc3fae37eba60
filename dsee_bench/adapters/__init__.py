"""What stands beside a pretrained weight: the DSEE adapter, LoRA, AdaLoRA, coefficients."""
