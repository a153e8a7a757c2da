"""Pictures of what a search found, and of what stands beside it."""
