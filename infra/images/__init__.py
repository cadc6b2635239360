"""Build the images, push them to a registry, and remove those that no release uses."""
