"""A dossier of reports: claims with their evidence, a model card, and the parts of the system that was judged."""
