"""Goals written down to be used again: objective, criteria, checks, budgets and inputs in one file.

It may use errors and text; it reads files and the user's folders, and knows no goal and no thread.
"""
