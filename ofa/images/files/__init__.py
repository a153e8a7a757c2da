"""Images as they are found: folders, zips, CIFAR; listed, named and labelled, still encoded."""
