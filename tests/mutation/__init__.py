"""Mutation testing of the pure modules: what the tests notice, one changed function at a time.

mutmut makes the mutants. The tests are collected once, and every mutant is judged in a fork of that
process by those tests alone that run the changed lines, the fastest first. What runs while modules
are imported is judged by all tests, in a new process that imports the changed module.
"""
