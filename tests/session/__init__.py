"""Tests of one thread as a pure function."""
