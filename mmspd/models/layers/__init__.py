"""Building blocks that restorers, priors, embeddings, losses and teachers share."""
