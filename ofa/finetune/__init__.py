"""Training a specialised network further, on its own; `python -m ofa.finetune`."""
