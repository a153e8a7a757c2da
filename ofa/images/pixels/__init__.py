"""Images decoded, cropped, augmented and kept."""
