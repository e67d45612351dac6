"""Hard images and doubtful labels, ranked and shown."""
