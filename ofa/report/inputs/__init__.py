"""What is given to a report, read and checked: files, and what each says."""
