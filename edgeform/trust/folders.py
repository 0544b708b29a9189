"""Names of the folders in a trust folder; here, because verbs that sign nothing need them, too.

`edgeform.trust.create` and everything that touches keys imports TUF's signers, which takes half a second.
"""

REPOSITORY_FOLDER = "repository"
KEYS_FOLDER = "keys"
