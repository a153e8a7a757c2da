"""What a report shows, worked out from its inputs, before anything is drawn."""
