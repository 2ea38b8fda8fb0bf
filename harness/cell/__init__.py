"""One cell beside its load: the save, what else is asked of its model, and what came of it in the design's words."""
