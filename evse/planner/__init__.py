"""The power planner: pure functions from a problem document to an allocation, and the words that explain it."""
