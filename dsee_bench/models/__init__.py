"""Model families, each seen as a list of sites: weights (out, in) that a stage may touch."""
