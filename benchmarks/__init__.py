"""Benchmarks: ``make bench`` runs them all and writes docs/performance.md. Ratios where the machine is noisy."""
