"""Images as people have them: found, labelled, decoded, prepared and handed out in batches."""
