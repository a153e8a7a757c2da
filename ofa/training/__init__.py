"""What training runs share: optimiser, schedule, augmentation, the epoch loop and its checkpoints."""
