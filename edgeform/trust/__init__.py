"""Trust on the controller: keys, roles, and the TUF repository that devices obey.

The verbs `trust init|keygen|sign|verify|show` and `publish` are these functions; each answers values.
"""
