"""The laboratory: the whole station, simulator below and back end above, in one process under virtual time.

The only package that knows both `evse.runtime` and `evse.sim`. Tests, `evsectl sim sessions` and the benchmarks stand on it.
"""
