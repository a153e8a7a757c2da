"""What a long run leaves on disk, and how it goes on: whole files, the journal, its identity, its processes."""
