"""Assessing opportunities (R4): the model as data, what an opportunity scores under it, and what is spent on it."""
