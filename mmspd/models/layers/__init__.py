"""Building blocks shared by restorers, priors, embeddings, losses and teachers."""
